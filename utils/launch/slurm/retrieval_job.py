"""What a job left on its node: brought back by a small job there, and then removed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.launch.slurm import node_states
from utils.launch.slurm.meanings import Meaning, meanings
from utils.launch.slurm.receive import Staged

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.cluster import Cluster
    from utils.launch.slurm.receive import Left
    from utils.node.events import Event

EXPORT = "--export=PATH=/usr/local/bin:/usr/bin:/bin"
"""Nothing of the login node's environment."""
LIMIT_S = 60.0
"""How long a small job may wait for its node, and take."""
AGAIN_S = 10.0
"""Between two tries."""
TRIES = 3
"""At a node on which a small job broke off."""


@dataclass(slots=True)
class Again:
    """Whether a node is asked again, for a daemon of Slurm's may have been restarted just when it was asked."""

    broke_off: int = 0
    """Tries that followed a small job that broke off, not one that was turned away."""
    since_s: float | None = None
    """When it was first found not to answer."""
    next_s: float = 0.0

    def waits(self) -> bool:
        """Whether it is too early to ask whether it answers now."""
        return self.since_s is not None and time.monotonic() < self.next_s

    def may_answer(self, state: str) -> bool:
        """Whether to wait for a node that is closed: it does not answer, and has not been silent for long."""
        if not node_states.silent(state):
            return False
        now = time.monotonic()
        self.since_s = now if self.since_s is None else self.since_s
        self.next_s = now + AGAIN_S / 5
        return now - self.since_s < LIMIT_S

    def wanted(self, source: Staged, *, last_try: bool) -> bool:
        """Whether to ask once more: a busy node until the last try, one on which the small job broke off a few times."""
        if turned_away(source):
            return not last_try
        broke_off = source.over and not source.complete and not source.missing and not source.errors
        return broke_off and source.handle.poll() != 0 and self.broke_off < TRIES - 1

    def count(self, source: Staged) -> None:
        """Note that a try follows."""
        self.broke_off += not turned_away(source)


def in_job(job: int) -> list[str]:
    """A step beside the runs of a job, without its GPUs (srun(1): --overlap)."""
    return [
        "srun",
        f"--jobid={job}",
        "--overlap",
        "--ntasks=1",
        "--gres=none",
        "--mem=0",
        "--quiet",
        EXPORT,
    ]


def on_node(cluster: Cluster, node: str) -> list[str]:
    """A job of its own on a node, without GPUs, that does not wait long for its turn."""
    line = [
        "srun",
        f"--nodelist={node}",
        "--nodes=1",
        "--ntasks=1",
        "--time=30",
        f"--immediate={LIMIT_S:.0f}",
    ]
    line += ["--job-name=servematrix-fetch", "--quiet", "--chdir=/", EXPORT]
    slurm = cluster.slurm
    if slurm and slurm.partition:
        line.append(f"--partition={slurm.partition}")
    if slurm:
        line += [
            f"--{name}={value}"
            for name, value in slurm.options.items()
            if name in {"account", "qos", "reservation"}
        ]
    return line


def turned_away(source: Staged) -> bool:
    """Whether the node was busy all the time that a small job waits for its turn (`Requested nodes are busy` and the like, by srun)."""
    return source.over and not source.complete and Meaning.NOT_ALLOCATED in meanings("\n".join(source.said))


def problem(source: Staged, left: Left, node: str) -> str:
    """Why not everything came from a node, with what a person can do; empty if it did."""
    code = source.handle.poll()
    if source.errors:
        said = "; ".join(source.errors[:3])
    elif source.missing or code == 0:
        return ""
    else:
        said = "; ".join(source.said[-2:]) or f"srun ended with {code}"
    return (
        f"what the job left on {node} in {left.work} could not be fetched ({said}); later: "
        f"./servematrix collect --job JOB --node {node} DIR"
    )


def spool(cluster: Cluster, node: str, left: Left, to: Path) -> tuple[list[Event], str]:
    """Bring the content of a spool now: its events, and what went wrong."""
    source = Staged.start(on_node(cluster, node), left, to, seen=0, hold_s=0)
    end, received = time.monotonic() + 2 * LIMIT_S, 0
    events: list[Event] = []
    while not source.over and time.monotonic() < end:
        events += source.read()
        if source.received > received:  # as long as something comes
            end, received = time.monotonic() + 2 * LIMIT_S, source.received
        time.sleep(0.05)
    events += source.read()
    told = problem(source, left, node)
    source.close()
    return events, told
