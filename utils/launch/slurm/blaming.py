"""Which failures put a node into quarantine: one node's own, and not what many nodes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.launch.slurm import client
from utils.launch.slurm.client import SlurmError

if TYPE_CHECKING:
    from utils.launch.failures import Verdict
    from utils.launch.journal import Memory
    from utils.launch.quarantine import Quarantine

TRIES = 3
"""At a job whose machine fails: the first and two more."""


def blame(quarantine: Quarantine, verdict: Verdict, memory: Memory, job: str, partition: str) -> str:
    """Put a failed attempt's node into quarantine, unless so many failed for the same cause that it is none of them.

    Args:
        quarantine: of the cluster.
        verdict: which says that it was the node.
        memory: of the job, with the node and the causes of its earlier tries.
        job: its name.
        partition: whose nodes are counted; empty for all.

    Returns:
        A line for a person.
    """
    clears_at = 0 if verdict.alone else _too_many(verdict.cause, memory, partition)
    shared = quarantine.blame(memory.node, verdict.cause, list(verdict.evidence), job, clears_at=clears_at)
    if shared:
        return (
            f"{verdict.cause}: the same on {' and '.join(shared)}, so that the nodes are not blamed; "
            "does the cluster file say what they have?"
        )
    return f"{memory.node} is in quarantine for a day: {verdict.cause} (./servematrix nodes)"


def _too_many(cause: str, memory: Memory, partition: str) -> int:
    """Nodes that are not all broken: half of the cluster; and any two once this job found the same on each of its tries."""
    if memory.causes.count(cause) + 1 >= TRIES:
        return 2
    try:
        known = len(client.nodes(partition))
    except SlurmError:
        return TRIES
    return max(2, -(-known // 2))
