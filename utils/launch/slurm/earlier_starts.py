"""Nodes where Slurm had begun a job before it began it again elsewhere: what is left there is brought home, marked, and removed."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from utils.launch.slurm import client, poll, retrieval_job
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.receive import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matrix.cluster import Cluster
    from utils.launch.journal import Memory
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
    busy: Callable[[], bool] = lambda: False
    """Whether other jobs of the same run are in the queue, which keep nodes busy."""
    source: Staged | None = None
    since_s: float = 0.0
    last_try: bool = False
    """No other job of the run was in the queue when the node was asked last."""
    again: retrieval_job.Again = field(default_factory=retrieval_job.Again)
    """Of the node whose turn it is."""
    notes: list[str] = field(default_factory=list)
    """What stays on a node, and why."""

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        left: Left,
        nodes: Sequence[str],
        aside: Callable[[str], Path],
        busy: Callable[[], bool],
    ) -> EarlierStarts:
        """Of nodes without the last one."""
        return cls(cluster, replace(left, restarts=0), list(dict.fromkeys(nodes)), aside, busy)

    def step(self) -> bool:
        """Go on; whether all is done. Never waits."""
        if self.source is None:
            return self._next()
        self.source.read()
        if self.again.wanted(self.source, last_try=self.last_try):
            if time.monotonic() - self.since_s > retrieval_job.AGAIN_S:
                self.again.count(self.source)
                self._ask(self.source.folder)
            return False
        if self.source.over or time.monotonic() - self.since_s > 2 * retrieval_job.LIMIT_S:
            node = self.nodes.pop(0)
            if problem := retrieval_job.problem(self.source, self.left, node):
                self.notes.append(problem)
            self.source.close()
            self.source, self.again = None, retrieval_job.Again()
        return False

    def _next(self) -> bool:
        while self.nodes:
            if self.again.waits():
                return False
            if why := _shut(self.nodes[0]):
                if self.again.may_answer(why):
                    return False
                self.notes.append(
                    f"{self.nodes[0]} is {why}: what an earlier start of the job left there stays there ({self.left.work})"
                )
                self.nodes.pop(0)
                self.again = retrieval_job.Again()
                continue
            self._ask(self.aside(WHY))
            return False
        return True

    def _ask(self, folder: Path) -> None:
        if self.source:
            self.source.close()
        where = retrieval_job.on_node(self.cluster, self.nodes[0])
        self.last_try, self.since_s = not self.busy(), time.monotonic()
        self.source = Staged.start(where, self.left, folder, seen=0, hold_s=0)


def nodes(memory: Memory, restarts: int, left: Left) -> tuple[list[str], list[str]]:
    """Nodes of all starts but the last one, and what a person should know where not all are known.

    A start that was over before the next poll is one that nobody here heard of. Slurm's accounting knows its node, where there is one.

    Args:
        memory: of the job's attempt; one that an older version wrote has no `starts`, and then nothing is asked.
        restarts: how often Slurm began it again, as far as Slurm says so.
        left: what a start leaves on its node.
    """
    begun = max([restarts, *memory.starts])
    unheard = sum(start not in memory.starts for start in range(begun)) if memory.starts else 0
    found = [*memory.earlier, *memory.starts.values()]
    if unheard and memory.slurm:
        rows = [one.node for one in poll.starts(memory.slurm) if one.node and one.name == memory.name]
        others = list((Counter(rows) - Counter(memory.starts.values())).elements())
        found += others
        unheard = max(0, unheard - len(others))
    where = " and ".join(filter(None, [left.work, left.log]))
    note = (
        f"Slurm started job {memory.slurm} {begun + 1} times, and of {unheard} of these starts the node is not known: it was over "
        "before Slurm was asked, and the accounting does not say where it was. What it may have left there can be fetched with "
        f"./servematrix collect --job {memory.slurm} --node NODE DIR: {where}"
    )
    known = [node for node in dict.fromkeys(found) if node and node != memory.node]
    return known, [note] if unheard else []


def _shut(name: str) -> str:
    try:
        return next((node.state for node in client.nodes() if node.name == name and not node.up), "")
    except SlurmError:
        return ""
