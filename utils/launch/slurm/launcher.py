"""The launcher of clusters behind Slurm: all jobs at once, one poll, one loop, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.slurm.section import Slurm as Asked
from utils.launch import lease
from utils.launch.quarantine import Quarantine
from utils.launch.slurm import batch, by_hand, client, job_files, names, submission
from utils.launch.slurm.attempts import Block
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.poll import Poll, squeue, state_folder
from utils.launch.slurm.sight import Partition
from utils.launch.slurm.states import from_squeue
from utils.node import process
from utils.setup import environments, provenance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matrix.cluster import Cluster
    from matrix.plan import Job
    from utils.launch.interface import Order
    from utils.launch.slurm.states import JobState
    from utils.node.events import Event

LOOP_S = 0.1
CANCEL_S = 120.0
"""How long a cancelled run may take to bring home what it has; above Slurm's default KillWait of 30 s and UNANSWERED_S."""
SILENT_S = 120.0
"""After so long without an answer of the controller, that is told."""


class Slurm:
    """Jobs by sbatch, wherever their nodes are."""

    def __init__(self) -> None:
        self.held: lease.Claim | None = None

    def check(self, order: Order, job: Job) -> None:
        """The same as locally where there is no container; the rest is the node's to say."""
        if order.clusters[job.cluster].container.runtime == "none":
            environments.check(order.environment, job.points[0].image)

    def claim(self, order: Order) -> Order:
        """Hold the folder; what a launcher before this one began there goes on as it was planned."""
        self.held = lease.take(order)
        return self.held.order

    def unfinished(self, order: Order, below: Path) -> Path | None:
        """What a killed launcher left, and nobody works on."""
        return lease.unfinished(order, below)

    def script(self, order: Order, job: Job, arm: str = "") -> str:
        """The commands of a job, for a person."""
        program, python = _programs(order, order.clusters[job.cluster], job, print_nothing, make=False)
        return by_hand.script(order, job, program=program, python=python, arm=arm)

    def batch(self, order: Order, job: Job) -> str:
        """The batch script of a job's first attempt, with its payload."""
        return _Session(order, print_nothing).preview(job)

    def run(self, order: Order, emit: Callable[[Event], None]) -> Exit:
        """Submit or find again every job, follow them to their ends; the outcome is the largest exit code."""
        if self.held is None:
            raise RuntimeError("run() without claim()")
        try:
            _be_told_of_the_end()
            return _Session(order, emit).run()
        finally:
            self.held.release()


@dataclass(slots=True)
class _Session:
    order: Order
    emit: Callable[[Event], None]
    partition: Partition = field(init=False)
    front: str = ""
    """The job whose events are shown whole; of the others only results and errors."""

    def __post_init__(self) -> None:
        name, cluster = next(iter(self.order.clusters.items()))
        partition = cluster.slurm.partition if cluster.slurm else ""
        every_s = min(60.0, cluster.limits.stuck_s / 4)
        self.partition = Partition(partition, f"recipes/clusters/{name}.yaml", every_s)

    def run(self) -> Exit:
        cluster = with_slurm(next(iter(self.order.clusters.values())))
        poll = Poll(state_folder(), cluster.slurm.poll_s if cluster.slurm else Asked().poll_s)
        poll.check()
        blocks = [self._block(job, poll) for job in self.order.plan.jobs]
        for block in blocks:
            submission.check_paths(block.attempt)
        try:
            for block in blocks:
                block.begin()
            self._follow(blocks, poll, lambda: any(not block.done for block in blocks))
        except BaseException as error:
            if isinstance(error, HarnessError):  # what Slurm refuses once, it refuses of the others too
                for block in blocks:
                    if not block.track and block.notes.read() is None:
                        block.refuse(str(error))
            self._cancel(blocks, poll)
            raise
        finally:
            for block in blocks:
                block.close()
        worst = max(block.memory.exit for block in blocks)
        return next(code for code in Exit if code == worst)

    def preview(self, job: Job) -> str:
        block = self._block(job, Poll(state_folder(), 1))
        submission.check_paths(block.attempt)
        attempt = replace(block.attempt, name=block.name, folder=names.folder(block.name), token="0" * 16)
        return batch.render(attempt, job_files.pack(attempt, block.root, block.provenance))

    def _block(self, job: Job, poll: Poll) -> Block:
        order, cluster = self.order, with_slurm(self.order.clusters[job.cluster])
        known = provenance.find(order.tree)
        program, python = _programs(order, cluster, job, self.emit)
        base_program, _ = _programs(order, cluster, job.of("base"), self.emit)
        attempt = submission.Attempt(
            job=job,
            cluster=cluster,
            order=order,
            name="",
            folder="",
            number=0,
            program=program,
            base_program=base_program,
            python=python,
        )
        return Block(
            attempt=attempt,
            identity=names.identity(environments.ROOT, known.tree_commit, order.out),
            root=environments.ROOT,
            provenance=known,
            poll=poll,
            quarantine=Quarantine(state_folder()),
            partition=self.partition,
            emit=lambda event: self._pass(job, event),
        )

    def _follow(self, blocks: list[Block], poll: Poll, more: Callable[[], bool]) -> None:
        silent_since = 0.0
        while more():
            poll.refresh()
            for block in blocks:
                if block.track and not block.done:
                    block.step()
                if block.done and self.front == block.attempt.job.id:
                    self.front = ""
            if not poll.failure:
                silent_since = 0.0
            elif not silent_since:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > SILENT_S:
                self.emit(
                    {
                        "kind": "note",
                        "text": f"Slurm does not answer ({poll.failure}); jobs live on, still asking",
                    }
                )
                silent_since = time.monotonic()
            time.sleep(LOOP_S)

    def _cancel(self, blocks: list[Block], poll: Poll) -> None:
        """Every job ends, and what it has comes home; a second signal does not interrupt that."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        refused: list[SlurmError] = []
        for block in blocks:
            if block.track:  # else it was not submitted yet
                try:
                    block.cancel()
                except SlurmError as error:
                    refused.append(error)
        if any(block.track and not block.done for block in blocks):
            self.emit({"kind": "note", "text": "cancelling; what was measured is being fetched"})
        for one in refused:
            text = f"{one}; end it by hand: ./servematrix cancel {self.order.out}"
            self.emit({"kind": "error", "text": text})
        end = time.monotonic() + CANCEL_S
        self._follow(
            blocks,
            poll,
            lambda: any(block.track and not block.done for block in blocks) and time.monotonic() < end,
        )
        for block in blocks:
            if block.track and not block.done:
                text = f"job {block.memory.slurm} has not ended yet; later: ./servematrix cancel {self.order.out}"
                self.emit({"kind": "error", "text": text})

    def _pass(self, job: Job, event: Event) -> None:
        kind = event["kind"]
        if not self.front and kind == "run":
            self.front = job.id
            self.emit({"kind": "job", "name": job.id, "total": len(job.points)})
        if self.front == job.id or len(self.order.plan.jobs) == 1:
            self.emit(event)
        elif kind in {"note", "error"}:
            self.emit({**event, "text": f"{job.id}: {event.get('text', '')}"})
        elif kind == "point" and not event.get("facts", {}).get("begins"):
            self.emit({"kind": "note", "text": f"{event['name']} {event.get('text', '')}"})


def with_slurm(cluster: Cluster) -> Cluster:
    """A cluster file without a `slurm:` section takes Slurm's own defaults, as with `--launcher slurm`."""
    return cluster if cluster.slurm else cluster.model_copy(update={"slurm": Asked()})


def _programs(
    order: Order, cluster: Cluster, job: Job, emit: Callable[[Event], None], *, make: bool = True
) -> tuple[str, str]:
    """The commands of server and Python where the job runs: the image's, else an environment that nodes see under the same path."""
    if cluster.container.runtime != "none":
        return environments.SERVER, "python3"
    image = job.points[0].image
    if make or order.environment:
        found = environments.given_or_made(
            order.environment, image, lambda text: emit({"kind": "note", "text": text})
        )
    else:
        found = environments.of_image(image)
    return str(found.server), str(found.python)


def _be_told_of_the_end() -> None:
    """A shell around us that dies, or a terminal that closes, ends us like a signal; `nohup` says that it shall not."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
    parent = os.getppid()
    process.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def print_nothing(event: Event) -> None:
    """Where nobody looks."""
    del event


def jobs_left() -> list[JobState]:
    """Jobs of servematrix, of whichever checkout of this user, that are not over."""
    try:
        return [job for job in from_squeue(squeue(), of=f"{names.PREFIX}/") if not job.over]
    except SlurmError as error:
        raise HarnessError(Exit.SLURM_FAILED, str(error)) from error


def cancel(jobs: list[JobState]) -> None:
    """End jobs."""
    try:
        client.cancel(jobs=[job.id for job in jobs])
    except SlurmError as error:
        raise HarnessError(Exit.SLURM_FAILED, str(error)) from error
