"""Nodes where Slurm had begun a job before it began it again elsewhere: what is left there is brought home, marked, and removed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from utils.launch.slurm import client, retrieval_job
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.receive import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matrix.cluster import Cluster
    from utils.launch.slurm.receive import Left

WHY = "Slurm started the job again on another node"


@dataclass(slots=True)
class EarlierStarts:
    """Of a job that is over; one node after the other, each by a small job there."""

    cluster: Cluster
    left: Left
    nodes: list[str]
    aside: Callable[[str], Path]
    """A new folder for what is kept and not judged, marked with the reason."""
    source: Staged | None = None
    since_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    """What stays on a node, and why."""

    @classmethod
    def of(
        cls, cluster: Cluster, left: Left, nodes: Sequence[str], aside: Callable[[str], Path]
    ) -> EarlierStarts:
        """Of nodes without the last one."""
        return cls(cluster, replace(left, restarts=0), list(dict.fromkeys(nodes)), aside)

    def step(self) -> bool:
        """Go on; whether all is done. Never waits."""
        if self.source is None:
            return self._next()
        self.source.read()
        if self.source.over or time.monotonic() - self.since_s > 2 * retrieval_job.LIMIT_S:
            node = self.nodes.pop(0)
            if problem := retrieval_job.problem(self.source, self.left, node):
                self.notes.append(problem)
            self.source.close()
            self.source = None
        return False

    def _next(self) -> bool:
        while self.nodes:
            if why := _shut(self.nodes[0]):
                self.notes.append(
                    f"{self.nodes[0]} is {why}: what an earlier start of the job left there stays there ({self.left.work})"
                )
                self.nodes.pop(0)
                continue
            where = retrieval_job.on_node(self.cluster, self.nodes[0])
            self.source = Staged.start(where, self.left, self.aside(WHY), seen=0, hold_s=0)
            self.since_s = time.monotonic()
            return False
        return True


def _shut(name: str) -> str:
    try:
        return next((node.state for node in client.nodes() if node.name == name and not node.up), "")
    except SlurmError:
        return ""
