"""Follows one attempt at a job: what its results say, what Slurm says, and when both have said their last word."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.launch import signs_of_failures
from utils.launch.slurm import client, retrieval_job
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.patience import Patience
from utils.launch.slurm.poll import accounted
from utils.launch.slurm.receive import Left, Shared, Staged, is_last
from utils.node import process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from utils.launch.slurm.receive import Source
    from utils.launch.slurm.states import JobState
    from utils.launch.slurm.submission import Attempt
    from utils.node.events import Event

LOST_S = 600.0
"""How long Slurm may say nothing of a job, and its results nothing new, before it counts as ended."""
SETTLE_S = 30.0
"""How long after the end of one side, results or Slurm, the other's last word is waited for."""
CLOSE_S = 2.0
"""The same where nothing is on its way any more: a shared file system may show a file a little late."""
OURS = frozenset({"begin", "payload", "srun", "check"})
"""What only the batch script and what it starts outside of containers may say."""


@dataclass(slots=True)
class Tracking:
    """An attempt whose job was submitted, by this launcher or by one before."""

    attempt: Attempt
    emit: Callable[[Event], None]
    found: Callable[[int, str, int], None]
    """Told the job's number and node when they become known, and how often Slurm had begun it again by then."""
    set_aside: Callable[[str], None]
    """Keeps what came of a start that broke off; told why."""
    every_s: float
    """Of the poll."""
    shut: Callable[[], str] = lambda: ""
    """Why no job can start in the partition, in a sentence; empty where one can. Asked while the job waits."""
    slurm: int | None = None
    node: str = ""
    start: int = 0
    """Which of the job's starts was on that node: how often Slurm had begun it again."""
    payload: Path | None = None
    """Sent by sbcast once the job runs, where it was too large for the script."""
    two: Callable[[], bool] = lambda: False
    """Whether sbatch was asked again, so that there may be two jobs of this attempt."""
    busy: Callable[[], bool] = lambda: False
    """Whether other jobs of the same run are in the queue, which keep nodes busy."""
    source: Source | None = None
    own: Shared | None = None
    """What reads results that are shared; `source` can be a small job's meanwhile."""
    state: JobState | None = None
    ended: int | None = None
    """The exit code in the batch script's last word."""
    begun: bool = False
    restarts: int = 0
    """How often Slurm had started the job again when it said that it begins."""
    asked: int = 0
    """Container starts that were begun."""
    runs_ended: int = 0
    """Those whose node program said its own last word."""
    failed_checks: list[str] = field(default_factory=list)
    node_at_fault: bool = False
    """One of them was of the node, not of what all nodes share."""
    wanted: bool = False
    """The job waits for its payload."""
    sending: subprocess.Popen[bytes] | None = None
    send_s: float = 0.0
    """Before that moment the payload is not sent again (monotonic)."""
    send_wait_s: float = 1.0
    told: str = ""
    follow_s: float = 0.0
    """Before that moment no other follower is started (monotonic)."""
    follow_wait_s: float = 0.25
    news_s: float = field(default_factory=time.monotonic)
    """When anything was last heard of the job."""
    over_s: float | None = None
    """When the first of results and Slurm said that it is over."""
    fetching: bool = False
    """A small job brings what the ended one left on its node."""
    last_try: bool = False
    """No other job of the run was in the queue when that was begun."""
    again: retrieval_job.Again = field(default_factory=retrieval_job.Again)
    closed: client.Node | None = None
    """The node, if Slurm lets nothing run there."""
    patience: Patience = field(default_factory=Patience)
    """How long the job has been waited for."""
    gave_up: str = ""
    """Why it was ended instead of being waited for."""

    def __post_init__(self) -> None:
        if self.attempt.shared:
            self.source = self.own = Shared(self.attempt.results)

    def close(self) -> None:
        """Let go of what is open; the job is left as it is."""
        if self.source:
            self.source.close()
        if self.sending:
            process.stop(self.sending, grace_s=3)
            self.sending = None

    def read(self) -> None:
        """Pass on what is new in the results."""
        for event in self.source.read() if self.source else []:
            self.news_s = time.monotonic()
            ours = event["kind"] in OURS or is_last(event)
            if ours and event.get("token") != self.attempt.token:
                text = f"something in the container sent the event {event['kind']!r}, which only the batch script may send; it is ignored"
                self.emit({"kind": "note", "text": text})
                continue
            self._take(event)
            if not ours:
                self.emit(event)
        if self.wanted and self.payload:
            self._send(self.payload)

    def _send(self, payload: Path) -> None:
        """Send the payload from here, where sbcast reads; nothing waits for it."""
        now = time.monotonic()
        if self.sending is None and self.slurm and now > self.send_s:
            self.sending = client.sbcast(self.slurm, str(payload), self.attempt.sbcast)
        elif self.sending and self.sending.poll() is not None:  # the job waits for it still
            said = self.sending.communicate()[1].decode(errors="replace").strip()
            if self.sending.returncode:
                self.emit({"kind": "note", "text": f"sbcast: {said}; sent again"})
            self.sending, self.send_s, self.send_wait_s = None, now + self.send_wait_s, 2 * self.send_wait_s

    def _take(self, event: Event) -> None:
        facts = event.get("facts", {})
        if event["kind"] == "begin":
            self.begun, self.restarts = True, int(facts.get("restarts", 0))
            self._is(int(facts.get("slurm", 0)), str(event.get("name", "")), self.restarts)
            self.emit({"kind": "note", "text": f"runs on {self.node} as Slurm job {self.slurm}"})
        elif event["kind"] == "payload":
            self.wanted = bool(facts.get("wanted"))
        elif event["kind"] == "srun" and "exit" not in facts:
            self.asked += 1
        elif event["kind"] == "check" and facts.get("level") == "note":
            self.emit(
                {"kind": "note", "text": f"{self.node}: {event.get('name', '')}: {event.get('text', '')}"}
            )
        elif event["kind"] == "check" and not facts.get("passed"):
            self.failed_checks.append(str(event.get("text", "")))
            self.node_at_fault = self.node_at_fault or facts.get("of_node", True)
        elif is_last(event):
            self.ended = int(facts.get("exit", Exit.BUG))
        elif event["kind"] == "end":
            self.runs_ended += 1

    def _is(self, slurm: int, node: str, start: int) -> None:
        if (slurm, node, start) != (self.slurm, self.node, self.start):
            self.slurm, self.node, self.start = slurm, node, start
            self.found(slurm, node, start)

    def says(self, mine: Sequence[JobState]) -> bool:
        """Take in what a poll from after the submission says of jobs of this name; False if there is no such job at all."""
        if not mine:
            return self._nothing()
        chosen = self._chosen(mine)
        if twice := [one.id for one in mine if one.id != chosen.id and not one.over]:
            client.cancel(jobs=twice)  # sbatch was asked again although the first time came through
        known = self.state or (chosen.model_copy(update={"restarts": 0}) if self.own else None)
        if known and chosen.restarts > max(known.restarts, self.restarts):
            self._restarted(chosen)
        self.state, self.news_s = chosen, time.monotonic()
        self._is(chosen.id, chosen.node or self.node, chosen.restarts if chosen.node else self.start)
        if chosen.waiting:
            self._waits(chosen)
        elif chosen.unknown:
            self._say(
                chosen, f"is in a state that servematrix does not know: {chosen.state or 'none'}; waiting"
            )
        elif chosen.state == "RUNNING":
            self._runs(chosen)
        elif chosen.state in {"SUSPENDED", "STOPPED"}:
            self._say(chosen, f"is {chosen.state}; a point that it interrupts has a stall, and is invalid")
        self._wait_no_longer(chosen)
        return True

    def _chosen(self, mine: Sequence[JobState]) -> JobState:
        """The one that was noted; but where sbatch was asked again, and that one waits for the first, the first is the job.

        Any other job of this name is an earlier run's into the same folder, of which nothing is wanted.
        """
        noted = next((one for one in mine if one.id == self.slurm), mine[0])
        runs = [one for one in mine if not (one.waiting or one.over or one.unknown)]
        return runs[0] if noted.waiting and runs and self.two() else noted

    def _wait_no_longer(self, state: JobState) -> None:
        """Nothing is waited for without an end: a job over its bound is ended, and that is the machine's fault."""
        limits = self.attempt.cluster.limits
        most_s = self.attempt.job.walltime_s if self.begun else 0
        why = self.patience.over(state, limits, shut=self.shut() if state.waiting else "", most_s=most_s)
        if why and not self.gave_up:
            client.cancel(jobs=[state.id])
            self.gave_up, self.over_s = why, time.monotonic() - SETTLE_S

    def _say(self, state: JobState, text: str) -> None:
        """A line for a person, once as long as it stays the same."""
        if text != self.told:
            self.told = text
            self.emit({"kind": "note", "text": f"Slurm job {state.id} {text}"})

    def _waits(self, state: JobState) -> None:
        shut = self.shut()
        bound = (
            f"; {shut}; the job is ended if that lasts {self.attempt.cluster.limits.stuck_s} s (limits.stuck_s)"
            if shut
            else ""
        )
        self._say(state, f"waits: {state.state} {state.reason}".strip() + bound)
        if signs_of_failures.held(state.reason):
            client.cancel(jobs=[state.id])
            self.over_s = time.monotonic() - SETTLE_S

    def _runs(self, state: JobState) -> None:
        following = isinstance(self.source, Staged) and not self.source.over
        if (
            not (self.attempt.shared or following or self.ended is not None)
            and time.monotonic() > self.follow_s
        ):
            self.follow_wait_s = min(60.0, 2 * self.follow_wait_s)
            self.follow_s = time.monotonic() + self.follow_wait_s
            self._follow(
                retrieval_job.in_job(state.id), hold_s=-1
            )  # the first, or one came too early or was cut off

    def _follow(self, where: list[str], *, hold_s: float) -> None:
        seen = self.source.seen if isinstance(self.source, Staged) else 0
        self.close()
        self.source = Staged.start(where, self.left, self.attempt.results, seen=seen, hold_s=hold_s)

    def _restarted(self, state: JobState) -> None:
        """Slurm itself began the job anew; everything said so far was of its earlier start."""
        self.emit(
            {
                "kind": "note",
                "text": f"Slurm started the job again ({state.restarts}); what broke off is kept aside",
            }
        )
        self.close()
        if not self.attempt.shared:  # where results are shared, the batch script has done so
            self.set_aside("Slurm started the job again")
        self.own = Shared(self.attempt.results, state.restarts) if self.attempt.shared else None
        self.source = self.own
        self.begun, self.asked, self.runs_ended, self.ended, self.over_s = False, 0, 0, None, None
        self.failed_checks, self.node_at_fault, self.wanted, self.told = [], False, False, ""

    def _nothing(self) -> bool:
        """Slurm does not know the name: not yet, not any more, or it was never accepted. An empty answer is no end."""
        silent_s = time.monotonic() - self.news_s
        if silent_s < 3 * self.every_s:
            return True
        if self.slurm is None:
            return False
        if self.over_s is None and (known := accounted(self.slurm)) and known.over:
            self.state, self.over_s = known, time.monotonic()
        elif self.over_s is None and silent_s > LOST_S:
            client.cancel(
                names=[self.attempt.name]
            )  # nothing may be left running that nobody follows any more
            self.over_s = time.monotonic() - SETTLE_S
        return True

    def finished(self) -> bool:
        """Both sides have said their last word, or one of them will not any more."""
        now = time.monotonic()
        arriving = isinstance(self.source, Staged) and not self.source.over
        if self.fetching:
            return not arriving
        last = self.ended is not None and not arriving
        slurm_over = self.state is not None and self.state.over
        # Before Slurm says so it may still begin the job again, and nobody would follow that.
        if last and slurm_over:
            return True
        if (last or slurm_over) and self.over_s is None:
            self.over_s = now
        wait = CLOSE_S if slurm_over and not arriving else SETTLE_S
        return self.over_s is not None and now - self.over_s > wait

    def fetches(self) -> bool:
        """Whether a small job now brings what is still on the node; where results are shared, it only cleans up."""
        if self.fetching:
            asks = self._asks_again()
            if not asks:
                self._read_kept()
            return asks
        if not self._left_on_node():
            return False
        if self.again.waits():
            return True
        self.closed = _closed(self.node)
        if self.closed and self.again.may_answer(self.closed.state):
            return True
        if self.closed:
            text = f"{self.node} is {self.closed.state}: what the job left there stays there ({self.attempt.work})"
            self.emit({"kind": "note", "text": text})
        else:
            self.fetching = True
            self._fetch()
        return not self.closed

    def _left_on_node(self) -> bool:
        """Whether something of the job may still be on its node."""
        if self.attempt.shared:
            return bool(self.node) and self.ended is None
        return bool(self.node) and not (isinstance(self.source, Staged) and self.source.complete)

    def _fetch(self) -> None:
        self.follow_s = time.monotonic() + retrieval_job.AGAIN_S
        self.last_try = not self.busy()
        self._follow(retrieval_job.on_node(self.attempt.cluster, self.node), hold_s=0)

    def _asks_again(self) -> bool:
        """A node that was busy is asked again as long as other jobs of the run are in the queue, and once after that; one on which the small job broke off, twice."""
        if not isinstance(self.source, Staged) or not self.again.wanted(self.source, last_try=self.last_try):
            return False
        if time.monotonic() > self.follow_s:
            self.again.count(self.source)
            self._fetch()
        return True

    def _read_kept(self) -> None:
        """A launcher before this one may have brought everything, and was killed before it could note so."""
        kept = self.attempt.results / "events.jsonl"
        if isinstance(self.source, Staged) and self.source.missing and self.ended is None and kept.exists():
            self.source = self.own or Shared(self.attempt.results)
            self.read()

    @property
    def left(self) -> Left:
        """What the job has on its node."""
        return replace(self.attempt.left, restarts=self.state.restarts if self.state else 0)

    @property
    def problem(self) -> str:
        """Why not everything came from the node."""
        return (
            retrieval_job.problem(self.source, self.left, self.node)
            if isinstance(self.source, Staged)
            else ""
        )


def _closed(name: str) -> client.Node | None:
    try:
        return next((node for node in client.nodes() if node.name == name and not node.up), None)
    except SlurmError:
        return None
