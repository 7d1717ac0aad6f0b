"""One job's life: submitted once, found again by name, ended with a verdict; tried again where the machine failed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.failures import Verdict, as_json, classify
from utils.launch.journal import Memory, Notebook
from utils.launch.signs_of_failures import Kind
from utils.launch.slurm import batch, blaming, client, earlier_starts, evidence, job_files, states, submission
from utils.launch.slurm.blaming import TRIES
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.earlier_starts import EarlierStarts
from utils.launch.slurm.meanings import Meaning
from utils.launch.slurm.names import folder
from utils.launch.slurm.sight import Partition
from utils.launch.slurm.tracking import Tracking
from utils.node import events, files, process, record, unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from utils.launch.quarantine import Quarantine
    from utils.launch.slurm.names import Identity
    from utils.launch.slurm.poll import Poll
    from utils.node.events import Event
    from utils.node.spec import Provenance

UNANSWERED_S = 90.0
"""So long after an sbatch without an answer Slurm may still take the job; longer than Slurm's own MessageTimeout retries."""


@dataclass(slots=True)
class Block:
    """A job with its attempts."""

    attempt: submission.Attempt
    identity: Identity
    root: Path
    """Of the harness, whose code travels."""
    provenance: Provenance
    poll: Poll
    quarantine: Quarantine
    emit: Callable[[Event], None]
    partition: Partition = field(default_factory=lambda: Partition("", ""))
    """Where the job waits."""
    memory: Memory = field(default_factory=Memory)
    track: Tracking | None = None
    cancelled: bool = False
    submitted_s: float = 0.0
    """A poll from before tells nothing about the job (monotonic, as all moments here: a clock that is set back orders nothing)."""
    heard_s: float = 0.0
    """When the answer was asked for that was taken in last."""
    called_off: bool = False
    """`cancel DIR` ended the job before this launcher came, which is to measure it anew."""
    earlier: EarlierStarts | None = None
    """Once the job is over: what Slurm's earlier starts of it left elsewhere."""
    unanswered: int = 0
    """How often sbatch gave no answer."""

    @property
    def name(self) -> str:
        """Slurm's name of the current attempt: as it was submitted, for a commit made since must not hide the job."""
        return self.memory.name or self.identity.job(self.attempt.job.id, self.memory.attempt)

    @property
    def _slurm_partition(self) -> str:
        return self.attempt.cluster.slurm.partition if self.attempt.cluster.slurm else ""

    @property
    def notes(self) -> Notebook:
        """Where the memory is kept."""
        return Notebook(self.attempt.order.out, self.attempt.job.id)

    @property
    def done(self) -> bool:
        """Nothing is left to do."""
        return self.memory.done

    def begin(self) -> None:
        """Take up what an earlier launcher left, else submit."""
        known = self.notes.read()
        if known is None:
            self._submit_as(Memory())
        elif known.done and known.kind is None:
            self.memory = known
            self.tell("was finished before; it is not run again")
        elif known.done:
            self._again(known, known.anew(), f"ended before with a failure ({known.kind})")
        else:
            self._prepare(known)
            self.called_off = self.notes.is_called_off(known.attempt)
            if known.slurm is None and self._results_are_of_another_attempt():
                self.notes.set_aside(self.attempt.results, known.attempt - 1, "left by an attempt before")
            self.submitted_s = time.monotonic()
            self.tell(f"taken up again: {self.name}")

    def step(self) -> None:
        """Read what is new and move on; waits for nothing but an answer of Slurm's. Not for a block that is done."""
        track = self.track
        if track is None:
            raise AssertionError
        track.read()
        if self.poll.answered_s > max(self.submitted_s, self.heard_s):
            self.heard_s = self.poll.answered_s
            try:
                known = track.says(states.by_name(self.poll.jobs, self.name))
            except SlurmError as error:  # asked again at the next poll
                self.tell(str(error))
                known = True
            if self.cancelled or self._called_off_meanwhile():
                self._cancel_again()
            if not known and self.cancelled:
                if not self.unanswered or time.monotonic() - self.submitted_s > UNANSWERED_S:
                    self._done(Verdict(Kind.CANCELLED, "cancelled before Slurm took the job", Exit.CANCELLED))
                return
            if not known:
                self.memory = self.memory.model_copy(update={"asked_again": True})
                self._submit()
                return
        if not track.finished():
            return
        track.read()
        restarts = max(track.restarts, track.state.restarts if track.state else 0)
        if not track.fetches() and self._earlier_are_home(restarts):
            self._end(track)

    def _earlier_are_home(self, restarts: int) -> bool:
        """Whether nothing is left on nodes of earlier starts; begins to bring it home."""
        if self.earlier is None:
            attempt, notes = self.memory.attempt, self.notes
            nodes, unknown = earlier_starts.nodes(self.memory, restarts, self.attempt.left)
            self.earlier = EarlierStarts.of(
                self.attempt.cluster,
                self.attempt.left,
                nodes,
                lambda why: notes.aside(attempt, why),
                self._others_wait,
            )
            self.earlier.notes += unknown
        return self.earlier.step()

    def cancel(self) -> None:
        """Tell Slurm to end the job; its results are still read."""
        self.cancelled = True
        if not self.done:
            client.cancel(names=[self.name])

    def _cancel_again(self) -> None:
        """A job that Slurm accepted late, or did not hear about, is still there; or `cancel` came before there was one."""
        left = [
            one.id
            for one in states.by_name(self.poll.jobs, self.name)
            if not one.over and one.state != "COMPLETING"
        ]
        try:
            client.cancel(jobs=left)
        except SlurmError as error:
            self.tell(str(error))

    def close(self) -> None:
        """Let go of what is open; the job is left as it is."""
        if self.track:
            self.track.close()

    def tell(self, text: str) -> None:
        """A line for a person."""
        self.emit({"kind": "note", "text": text})

    def _submit_as(self, memory: Memory) -> None:
        self._prepare(memory)
        self._submit()

    def _again(self, old: Memory, new: Memory, why: str) -> None:
        """The whole block anew. What comes next is remembered first: whoever finds old results then knows that they are old."""
        self.close()
        self.called_off = False  # that was of the attempt before
        # With its name already: `cancel` may come before it is submitted.
        new = new.model_copy(update={"name": self.identity.job(self.attempt.job.id, new.attempt)})
        self.notes.write(new)
        self.notes.set_aside(self.attempt.results, old.attempt, why)
        self._submit_as(new)

    def _prepare(self, memory: Memory) -> None:
        self.memory, self.unanswered, self.earlier = memory, 0, None
        self.attempt = replace(
            self.attempt,
            name=self.name,
            number=memory.attempt,
            folder=folder(self.name),
            token=memory.token,
            exclude=self._excluded(memory),
        )
        payload = self.notes.beside(memory.attempt, "tar.gz")
        self.track = Tracking(
            self.attempt,
            self.emit,
            self._found,
            lambda why: self.notes.set_aside(self.attempt.results, self.memory.attempt, why),
            self.poll.every_s,
            slurm=memory.slurm,
            node=memory.node,
            payload=payload if payload.exists() else None,
            shut=self.partition.shut,
            two=lambda: self.memory.asked_again,
            busy=self._others_wait,
        )

    def _others_wait(self) -> bool:
        """Whether other jobs of this run are in the queue."""
        run = self.name.rsplit("/", 2)[0] + "/"
        return any(
            one.name.startswith(run) and one.name != self.name and not one.over for one in self.poll.jobs
        )

    def _excluded(self, memory: Memory) -> tuple[str, ...]:
        """Nodes in quarantine and those that were tried; only names that Slurm knows, and it keeps the tried if no others are left."""
        bad = {entry.node for entry in self.quarantine.entries()}
        if not bad and not memory.tried:
            return ()
        try:
            known = {node.name for node in client.nodes(self._slurm_partition)}
        except SlurmError:
            return tuple(sorted(bad))
        bad &= known
        with_tried = bad | (known & set(memory.tried))
        return tuple(sorted(with_tried if known - with_tried else bad))

    def _found(self, slurm: int, node: str, start: int) -> None:
        old = self.memory if self.memory.slurm == slurm else self.memory.model_copy(update={"starts": {}})
        moved = [old.node] if old.slurm == slurm and old.node and node not in {"", old.node} else []
        starts = old.starts | ({start: node} if node else {})
        update = {"slurm": slurm, "node": node, "earlier": [*old.earlier, *moved], "starts": starts}
        self.memory = old.model_copy(update=update)
        self.notes.write(self.memory)

    def _submit(self) -> None:
        packed = job_files.pack(self.attempt, self.root, self.provenance)
        script = self.notes.beside(self.memory.attempt, "sh")
        files.write_whole(script, batch.render(self.attempt, packed).encode())
        if self.track and batch.by_sbcast(self.attempt, packed):
            self.track.payload = self.notes.beside(self.memory.attempt, "tar.gz")
            files.write_whole(self.track.payload, packed.content)
        self.attempt.results.parent.mkdir(parents=True, exist_ok=True)
        self.memory = self.memory.model_copy(update={"name": self.name})
        # Before sbatch: whoever comes after must know that there may be a job of this name.
        self.notes.write(self.memory)
        self.submitted_s = time.monotonic()
        try:
            with process.uninterrupted():  # a job that was accepted and not noted would be an orphan
                number = client.submit(script)
                if self.track:
                    self.track.slurm = number
                self._found(number, "", 0)
            self.tell(f"submitted as Slurm job {number}: {self.name}")
        except SlurmError as error:
            self.unanswered += error.unanswered  # a refusal is an answer: there is no job to look for
            if not error.unanswered:
                refusal = HarnessError(Exit.SLURM_FAILED, self._refused(error))
                self.refuse(refusal.message)
                raise refusal from error
            if self.unanswered >= TRIES:
                raise HarnessError(Exit.SLURM_FAILED, str(error)) from error
            self.tell(f"{error}; looking whether the job was accepted all the same")
        finally:
            if self.track:
                self.track.news_s = time.monotonic()

    def refuse(self, why: str) -> None:
        """There is no job, and will be none: its points have that as their reason. Whoever starts the run again submits anew."""
        verdict = Verdict(Kind.INFRA, why, Exit.SLURM_FAILED)
        self.memory = self.memory.model_copy(
            update={"done": True, "kind": Kind.INFRA.value, "exit": int(Exit.SLURM_FAILED)}
        )
        self.attempt.results.mkdir(parents=True, exist_ok=True)
        files.write_whole(self.attempt.results / "failure.json", self._as_json(verdict))
        self._leave_records(Exit.SLURM_FAILED, why)
        self.notes.write(self.memory)

    def _refused(self, error: SlurmError) -> str:
        if Meaning.PARTITION in error.means and (gone := self.partition.missing()):
            return f"{error}; {gone}"
        if self.attempt.exclude and Meaning.NO_SUCH_NODES in error.means:
            return f"{error}; {', '.join(self.attempt.exclude)} are kept out, see the quarantine: ./servematrix nodes"
        return str(error)

    def _results_are_of_another_attempt(self) -> bool:
        """A job that nobody noted may have begun to write where results are shared; elsewhere nothing of it can be here."""
        try:
            with (self.attempt.results / "events.jsonl").open() as file:
                first = events.from_line(file.readline())
        except OSError:
            return True
        return not self.attempt.shared or first.get("facts", {}).get("attempt") != self.memory.attempt

    def _end(self, track: Tracking) -> None:
        for problem in filter(None, [track.problem, *(self.earlier.notes if self.earlier else [])]):
            self.tell(problem)
        track.close()
        verdict = classify(evidence.facts(track, cancelled_by_us=self.cancelled))
        wanted = len(self.attempt.runs) * len(self.attempt.job.points)
        there = len(list(self.attempt.results.glob(f"run-*/*/{record.FILE}")))
        if verdict.kind is None and there < wanted:
            cause = f"the job ended well, and {wanted - there} of {wanted} records are not here"
            verdict = Verdict(
                Kind.BENCHMARK, cause, Exit.JOB_FAILED, (track.problem,) if track.problem else ()
            )
        files.write_whole(self.notes.beside(self.memory.attempt, "verdict.json"), self._as_json(verdict))
        self.judge(verdict)

    def judge(self, verdict: Verdict) -> None:
        """Try again, or end with it."""
        if self._another_try(verdict) and self._called_off_meanwhile():
            verdict = Verdict(Kind.CANCELLED, "cancelled by `cancel`", Exit.CANCELLED, (verdict.cause,))
        if verdict.kind is Kind.INFRA and not self.cancelled:
            self._infra(verdict)
        elif self._another_try(verdict):
            self._once_more(verdict)
        elif verdict.kind is Kind.CANCELLED and self.called_off and not self.cancelled:
            self.tell("`cancel` ended it before this run began; it is measured anew")
            self._again(self.memory, self.memory.anew(), "ended by `cancel`")
        else:
            self._done(verdict)

    def _another_try(self, verdict: Verdict) -> bool:
        """Whether the job is submitted again for it; what ends a job for good stays the reason, whatever comes later."""
        if self.cancelled:
            return False
        if verdict.kind is Kind.INFRA:
            return not verdict.final and self.memory.tries + 1 < TRIES
        return verdict.once_more and bool(self.memory.node) and self.memory.tries == 0

    def _called_off_meanwhile(self) -> bool:
        """Whether `cancel` came after this launcher did; it found no job, if that was over."""
        return not self.called_off and self.notes.is_called_off(self.memory.attempt)

    def _infra(self, verdict: Verdict) -> None:
        """Keep the node out where it was the node, and try elsewhere, up to `TRIES` in all."""
        old = self.memory
        if verdict.node and old.node:
            self.tell(blaming.blame(self.quarantine, verdict, old, self.name, self._slurm_partition))
        if not self._another_try(verdict):
            self._done(verdict)
            return
        tried = [*old.tried, old.node] if old.node and not verdict.same_node else old.tried
        self.tell(f"infra: {verdict.cause}; try {old.tries + 2} of {TRIES}, on another node")
        try:
            self._again(old, old.next_try(tried, verdict.cause), f"infra: {verdict.cause}")
        except HarnessError as error:  # no node is left; what the machine did stays the reason
            self._done(replace(verdict, evidence=(*verdict.evidence, str(error))))

    def _once_more(self, verdict: Verdict) -> None:
        """On another node: what nothing explains may have been this one's, which is not blamed for it."""
        old = self.memory
        self.tell(f"{verdict.cause}, and nothing says why; one more try, on another node")
        try:
            self._again(
                old, old.next_try([*old.tried, str(old.node)], verdict.cause), f"unexplained: {verdict.cause}"
            )
        except HarnessError as error:  # there is no other node
            self._done(replace(verdict, evidence=(*verdict.evidence, str(error))))

    def _done(self, verdict: Verdict) -> None:
        code = verdict.exit_code if verdict.kind is not Kind.INFRA else Exit.INFRA_FAILED
        update = {"done": True, "kind": verdict.kind.value if verdict.kind else None, "exit": int(code)}
        self.memory = self.memory.model_copy(update=update)
        if verdict.kind:
            self.attempt.results.mkdir(parents=True, exist_ok=True)
            files.write_whole(self.attempt.results / "failure.json", self._as_json(verdict))
            self._leave_records(code, verdict.cause)
            lines = "".join(f"\n{line}" for line in verdict.evidence)
            where = f" (job {self.memory.slurm} on {self.memory.node or 'no node'})"
            self.emit({"kind": "error", "text": f"{verdict.kind.value}: {verdict.cause}{where}{lines}"})
        self.notes.write(self.memory)

    def _leave_records(self, code: Exit, cause: str) -> None:
        """A record for each point that has none, with the reason."""
        spec = job_files.whole_job(self.attempt, self.provenance)
        spec = spec.model_copy(update={"out": str(self.attempt.results)})
        unmeasured.leave(spec, code, cause, self.memory.node or "")

    def _as_json(self, verdict: Verdict) -> bytes:
        return as_json(verdict, self.name, self.memory.slurm, self.memory.node)
