"""One job's life on Slurm: submitted once, found again by name, ended with a verdict; tried again where the machine failed."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from matrix.errors import Exit, HarnessError
from matrix.schema import Value
from utils.launch import failures
from utils.launch.failures import Kind, Verdict
from utils.launch.slurm import batch, client, fetch, states
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.names import folder
from utils.launch.slurm.poll import accounted
from utils.launch.slurm.receive import Left, Shared, Staged, is_last
from utils.node import process, record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from utils.launch.slurm.names import Identity
    from utils.launch.slurm.poll import Poll
    from utils.launch.slurm.quarantine import Quarantine
    from utils.launch.slurm.receive import Source
    from utils.launch.slurm.states import JobState
    from utils.node.events import Event
    from utils.node.spec import Provenance

TRIES = 3
"""At a job whose machine fails: the first and two more."""
LOST_S = 60.0
"""How long Slurm may say nothing of a job, and its results nothing new, before it counts as ended."""
SETTLE_S = 30.0
"""How long after the end of one side, results or Slurm, the other's last word is waited for."""
CLOSE_S = 2.0
"""The same where nothing is on its way any more: a shared file system may show a file a little late."""
ROOT_FILES = ("payload.log", "preflight.log", "image.log")


class Memory(Value):
    """What a launcher that comes after a killed one needs to know; a file a job below `launch/`."""

    attempt: int = 0
    tries: int = 0
    """Infra failures of this call so far."""
    slurm: int | None = None
    """Number of the job, once sbatch has told it."""
    node: str = ""
    done: bool = False
    kind: str | None = None
    """Class of the failure it ended with."""
    exit: int = 0
    broken_nodes: list[str] = []


@dataclass(slots=True)
class Block:
    """A job with its attempts."""

    attempt: batch.Attempt
    identity: Identity
    root: Path
    """Of the harness, whose code travels."""
    provenance: Provenance
    poll: Poll
    quarantine: Quarantine
    emit: Callable[[Event], None]
    memory: Memory = field(default_factory=Memory)
    source: Source | None = None
    state: JobState | None = None
    begun: bool = False
    asked: int = 0
    runs_ended: int = 0
    ended: int | None = None
    cancelled: bool = False
    failed_checks: list[str] = field(default_factory=list)
    told: str = ""
    looked_s: float = 0.0
    """When a job was last seen by name or by events (monotonic)."""
    over_s: float | None = None
    """When Slurm, or the results, first said that it is over (monotonic)."""
    submitted_s: float = 0.0
    """Wall clock: a poll from before tells nothing about the job."""
    unanswered: int = 0
    sent: bool = False
    fetching: bool = False
    """A small job brings what the ended one left on its node."""
    closed: client.Node | None = None
    """The node, if Slurm lets nothing run there."""

    @property
    def name(self) -> str:
        """Slurm's name of this attempt."""
        return self.identity.job(self.attempt.job.id, self.memory.attempt)

    @property
    def file(self) -> Path:
        """Where the memory is kept."""
        return self.attempt.order.out / "launch" / f"{self.attempt.job.id}.json"

    @property
    def done(self) -> bool:
        """Nothing is left to do."""
        return self.memory.done

    def begin(self) -> None:
        """Take up what an earlier launcher left, else submit."""
        try:
            self.memory = Memory.model_validate(json.loads(self.file.read_bytes()))
        except FileNotFoundError:
            self._renew(0)
            self._submit()
            return
        self.submitted_s = time.time()
        if self.memory.done and self.memory.kind is None:
            self.emit({"kind": "note", "text": "was finished before; it is not run again"})
        elif self.memory.done:
            self.set_aside(f"ended before with a failure ({self.memory.kind})")
            self._renew(self.memory.attempt + 1)
            self._submit()
        else:
            self._renew(self.memory.attempt, keep=self.memory)
            self.emit({"kind": "note", "text": f"taken up again: {self.name}"})

    def step(self) -> None:
        """Read what is new and move on; never waits. Not for a block that is done."""
        self._read()
        mine = states.by_name(self.poll.jobs, self.name) if self.poll.asked_s >= self.submitted_s else None
        if mine is not None:
            self._slurm_says(mine)
        now = time.monotonic()
        if self._finished(now):
            self._end()

    def cancel(self) -> None:
        """Tell Slurm to end the job; its results are still read."""
        self.cancelled = True
        if not self.done:
            client.cancel(names=[self.name])

    def close(self) -> None:
        """Let go of what is open; the job is left as it is."""
        if self.source:
            self.source.close()

    # -- submitting

    def _renew(self, attempt: int, keep: Memory | None = None) -> None:
        """Forget what belongs to an earlier attempt."""
        tries = self.memory.tries
        nodes = self.memory.broken_nodes
        self.memory = keep or Memory(attempt=attempt, tries=tries, broken_nodes=nodes)
        exclude = sorted({entry.node for entry in self.quarantine.entries()} | set(self.memory.broken_nodes))
        self.attempt = replace(
            self.attempt,
            name=self.name,
            number=self.memory.attempt,
            folder=folder(self.name),
            exclude=tuple(exclude),
        )
        self.source = Shared(self.attempt.results) if self.attempt.shared else None
        self.state, self.begun, self.asked, self.runs_ended, self.ended, self.over_s = (
            None,
            False,
            0,
            0,
            None,
            None,
        )
        self.failed_checks, self.told, self.sent, self.unanswered = [], "", False, 0
        self.fetching, self.closed = False, None
        self.looked_s = time.monotonic()

    def _submit(self) -> None:
        packed = batch.pack(self.attempt, self.root, self.provenance)
        script = batch.render(self.attempt, packed)
        record.write_whole(self._beside("sh"), script.encode())
        if batch.by_sbcast(self.attempt, packed):
            record.write_whole(self._beside("tar.gz"), packed.content)
        self.attempt.results.parent.mkdir(parents=True, exist_ok=True)
        self._remember()  # before sbatch: whoever comes after must know that there may be a job of this name
        self.submitted_s = time.time()
        try:
            with process.uninterrupted():  # a job that was accepted and not noted would be an orphan
                self.memory = self.memory.model_copy(update={"slurm": client.submit(script)})
                self._remember()
        except SlurmError as error:
            if not error.unanswered or self.unanswered >= TRIES:
                raise HarnessError(Exit.SLURM_FAILED, self._refused(error)) from error
            self.unanswered += 1
            self.emit({"kind": "note", "text": f"{error}; looking whether the job was accepted all the same"})
        self.emit({"kind": "note", "text": f"submitted as Slurm job {self.memory.slurm or '?'}: {self.name}"})

    def _refused(self, error: SlurmError) -> str:
        text = f"{error}"
        if self.attempt.exclude and "not available" in error.message:
            text += f"; {', '.join(self.attempt.exclude)} are in quarantine: ./servematrix nodes"
        return text

    def _beside(self, suffix: str) -> Path:
        return self.file.with_name(f"{self.attempt.job.id}.{self.memory.attempt}.{suffix}")

    def _remember(self) -> None:
        record.write_whole(self.file, self.memory.model_dump_json(indent=1).encode())

    # -- following

    def _read(self) -> None:
        if self.source is None:
            return
        for event in self.source.read():
            self.looked_s = time.monotonic()
            self._note(event)
            if event["kind"] not in {"begin", "srun", "check"} and not is_last(event):
                self.emit(event)

    def _note(self, event: Event) -> None:
        """Remember what a verdict needs."""
        facts = event.get("facts", {})
        if event["kind"] == "begin":
            self.begun = True
            self.memory = self.memory.model_copy(
                update={"node": str(event.get("name", "")), "slurm": facts.get("slurm")}
            )
            self._remember()
            self.emit(
                {"kind": "note", "text": f"runs on {self.memory.node} as Slurm job {self.memory.slurm}"}
            )
        elif event["kind"] == "srun" and "exit" not in facts:
            self.asked += 1
        elif event["kind"] == "check" and not facts.get("passed"):
            self.failed_checks.append(str(event.get("text", "")))
        elif event["kind"] == "end" and not is_last(event):
            self.runs_ended += 1
        elif is_last(event):
            self.ended = int(facts.get("exit", 1))

    def _slurm_says(self, mine: Sequence[JobState]) -> None:
        """Take in what a poll from after the submission says."""
        if not mine:
            self._nothing_known()
            return
        chosen = next((one for one in mine if one.id == self.memory.slurm), mine[0])
        twice = [one.id for one in mine if one.id != chosen.id and not one.over]
        if twice:  # sbatch was asked again although the first one came through
            client.cancel(jobs=twice)
        if self.state and chosen.restarts > self.state.restarts:
            self._restarted(chosen)
        before, self.state = self.state, chosen
        self.looked_s = time.monotonic()
        if chosen.id != self.memory.slurm or (chosen.node and chosen.node != self.memory.node):
            self.memory = self.memory.model_copy(
                update={"slurm": chosen.id, "node": chosen.node or self.memory.node}
            )
            self._remember()
        if chosen.waiting:
            self._pending(chosen)
        elif chosen.state == "RUNNING":
            self._running(chosen, new=before is None or before.state != "RUNNING")

    def _pending(self, state: JobState) -> None:
        said = f"waits: {state.state} {state.reason}".strip()
        if said != self.told:
            self.told = said
            self.emit({"kind": "note", "text": f"Slurm job {state.id} {said}"})
        if state.reason in failures.HELD:
            client.cancel(jobs=[state.id])
            self.over_s = time.monotonic() - SETTLE_S

    def _running(self, state: JobState, *, new: bool) -> None:
        packed = self._beside("tar.gz")
        if new and not self.sent and packed.exists():
            client.sbcast(state.id, str(packed), self.attempt.sbcast)
            self.sent = True
        if self.attempt.shared or (isinstance(self.source, Staged) and not self.source.over):
            return
        seen = self.source.seen if isinstance(self.source, Staged) else 0
        if self.ended is None:  # the first one, or the one before came too early, or lost its connection
            self.close()
            where = fetch.in_job(state.id)
            self.source = Staged.start(where, self._left(), self.attempt.results, seen=seen, hold_s=-1)

    def _restarted(self, state: JobState) -> None:
        """Slurm itself began the job anew: what came before is kept, and is not judged."""
        self.emit(
            {
                "kind": "note",
                "text": f"Slurm started the job again ({state.restarts}); what broke off is kept aside",
            }
        )
        if not self.attempt.shared:
            self.set_aside("Slurm started the job again")
        self.close()
        self._renew(self.memory.attempt, keep=self.memory)
        if isinstance(self.source, Shared):
            self.source.restarts = state.restarts

    def _nothing_known(self) -> None:
        """Slurm does not know the name: not yet, not any more, or it was never accepted."""
        now = time.monotonic()
        if self.memory.slurm is None and now - self.looked_s > self.poll.every_s * 3:
            self._submit()
            self.looked_s = now
        elif (
            self.memory.slurm
            and self.over_s is None
            and now - self.looked_s > min(LOST_S, self.poll.every_s * 3)
        ):
            known = accounted(self.memory.slurm)
            if known and known.over:
                self.state, self.over_s = known, now
            elif now - self.looked_s > LOST_S:
                self.over_s = now - SETTLE_S

    # -- ending

    def _finished(self, now: float) -> bool:
        """Both sides have said their last word, or one of them will not any more."""
        arriving = isinstance(self.source, Staged) and not self.source.over
        if self.fetching:
            return not arriving
        last = self.ended is not None and not arriving
        if last and self.ended in (Exit.OK, Exit.GATE_FAILED):
            return True
        slurm_over = self.state is not None and self.state.over
        if last and slurm_over:
            return True
        if (last or slurm_over) and self.over_s is None:
            self.over_s = now
        wait = CLOSE_S if slurm_over and not arriving else SETTLE_S
        return self.over_s is not None and now - self.over_s > wait

    def _end(self) -> None:
        self._read()
        if not self.fetching and self._fetch_rest():
            return
        if isinstance(self.source, Staged) and (
            problem := fetch.problem(self.source, self._left(), self.memory.node)
        ):
            self.emit({"kind": "note", "text": problem})
        self.close()
        verdict = failures.classify(self._facts())
        text = json.dumps(as_json(verdict, self), indent=1)
        record.write_whole(self._beside("verdict.json"), text.encode())
        if verdict.kind is Kind.INFRA and not self.cancelled:
            self._infra(verdict)
        else:
            self._done(verdict)

    def _fetch_rest(self) -> bool:
        """Start to bring what is still on the node, by a small job there; where results are shared, it only cleans up."""
        node = self.memory.node
        if not node or (isinstance(self.source, Staged) and self.source.complete):
            return False
        if self.attempt.shared and self.ended is not None:
            return False
        self.closed = next((one for one in _nodes() if one.name == node and not one.up), None)
        if self.closed:
            self.emit(
                {
                    "kind": "note",
                    "text": f"{node} is {self.closed.state}: what the job left there stays there ({self.attempt.work})",
                }
            )
            return False
        self.close()
        seen = self.source.seen if isinstance(self.source, Staged) else 0
        where = fetch.on_node(self.attempt.cluster, node)
        self.source = Staged.start(where, self._left(), self.attempt.results, seen=seen, hold_s=0)
        self.fetching = True
        return True

    def _left(self) -> Left:
        return replace(self.attempt.left, restarts=self.state.restarts if self.state else 0)

    def _facts(self) -> failures.Facts:
        results = self.attempt.results
        texts = [
            results.parent / f"{results.name}.slurm.log",
            results / "slurm.log",
            *sorted(results.glob("*.srun.log")),
        ]
        texts += [results / name for name in ROOT_FILES]
        state = self.state
        started = len(list(results.glob("*.started")))
        return failures.Facts(
            state=state.state if state else "",
            exit_code=state.exit_code if state else "",
            reason=state.reason if state else "",
            node=self.memory.node,
            node_reason=self.closed.reason if self.closed else "",
            begun=self.begun,
            ended=self.ended,
            asked=self.asked > 0,
            runs_ended=self.runs_ended >= self.asked,
            started=self.asked > 0 and started >= self.asked,
            preflight=tuple(self.failed_checks),
            lines=tuple(line for path in texts for line in _lines(path)),
            cancelled_by_us=self.cancelled,
        )

    def _infra(self, verdict: Verdict) -> None:
        if verdict.node and self.memory.node:
            entry = self.quarantine.add(self.memory.node, verdict.cause, list(verdict.evidence), self.name)
            nodes = [*self.memory.broken_nodes, self.memory.node]
            self.memory = self.memory.model_copy(update={"broken_nodes": nodes})
            self.emit(
                {
                    "kind": "note",
                    "text": f"{entry.node} is in quarantine for a day: {entry.cause} (./servematrix nodes)",
                }
            )
        tries = self.memory.tries + 1
        if tries >= TRIES:
            self._done(verdict)
            return
        self.emit(
            {"kind": "note", "text": f"infra: {verdict.cause}; try {tries + 1} of {TRIES}, on another node"}
        )
        self.set_aside(f"infra: {verdict.cause}")
        self.memory = self.memory.model_copy(update={"tries": tries})
        self._renew(self.memory.attempt + 1)
        self._submit()

    def _done(self, verdict: Verdict) -> None:
        code = (
            verdict.exit_code if verdict.kind is not Kind.INFRA else max(verdict.exit_code, Exit.INFRA_FAILED)
        )
        update = {"done": True, "kind": verdict.kind.value if verdict.kind else None, "exit": int(code)}
        self.memory = self.memory.model_copy(update=update)
        if verdict.kind:
            self.attempt.results.mkdir(parents=True, exist_ok=True)
            record.write_whole(
                self.attempt.results / "failure.json", json.dumps(as_json(verdict, self), indent=1).encode()
            )
            lines = "".join(f"\n  | {line}" for line in verdict.evidence)
            where = f" (job {self.memory.slurm} on {self.memory.node or 'no node'})"
            self.emit({"kind": "error", "text": f"{verdict.kind.value}: {verdict.cause}{where}{lines}"})
        self._remember()

    def set_aside(self, why: str) -> None:
        """Keep what a broken block left, marked, where nothing judges it."""
        results = self.attempt.results
        if not results.exists():
            return
        base = self.attempt.order.out / "broken" / f"{self.attempt.job.id}.{self.memory.attempt}"
        target, number = base, 1
        while target.exists():
            target, number = base.with_name(f"{base.name}-{number}"), number + 1
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(results, target)
        log = results.parent / f"{results.name}.slurm.log"
        if log.exists():
            shutil.move(log, target / "slurm.log")
        record.write_whole(target / "broken.json", json.dumps({"why": why, "job": self.name}).encode())


def as_json(verdict: Verdict, block: Block) -> dict[str, Any]:
    """A verdict for a file."""
    return {
        "kind": verdict.kind.value if verdict.kind else None,
        "cause": verdict.cause,
        "evidence": list(verdict.evidence),
        "exit": int(verdict.exit_code),
        "job": block.name,
        "slurm": block.memory.slurm,
        "node": block.memory.node,
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-200:]
    except OSError:
        return []


def _nodes() -> list[client.Node]:
    try:
        return client.nodes()
    except SlurmError:
        return []
