"""A job that never got to its points leaves a record for each of them, with the reason and the node's name alone."""

from __future__ import annotations

import pytest

from matrix.errors import Exit
from utils.launch.failures import Verdict
from utils.launch.signs_of_failures import Kind
from utils.launch.slurm.attempts import Block
from utils.results.collect import collect


@pytest.mark.parametrize(
    ("verdict", "status", "code"),
    [
        (Verdict(Kind.BENCHMARK, "the canary's server died", Exit.SERVER_DIED), "failed", "SERVER_DIED"),
        (Verdict(Kind.INFRA, "the node went away", Exit.INFRA_FAILED), "failed", "INFRA_FAILED"),
        (Verdict(Kind.CANCELLED, "cancelled", Exit.CANCELLED), "cancelled", "CANCELLED"),
    ],
)
def test_each_point_has_a_record(a_block: Block, verdict: Verdict, status: str, code: str) -> None:
    """Of each arm, in its first run."""
    a_block.memory = a_block.memory.model_copy(update={"node": "mi3", "slurm": 7})
    a_block._done(verdict)
    found = collect([a_block.attempt.order.out])
    job = a_block.attempt.job
    assert len(found) == len(job.points) * len(set(job.arms))
    assert {one.status for one in found} == {status}
    assert {one.failure.reason for one in found if one.failure} == {code}
    assert all(verdict.cause in one.failure.message for one in found if one.failure)
    assert {(one.node.hostname, one.node.cores) for one in found} == {("mi3", 0)}, "nothing of the login node"


def test_a_refused_job_leaves_them_too(a_block: Block) -> None:
    """Slurm never took it, and it was on no node."""
    a_block.refuse("sbatch: Invalid qos specification")
    found = collect([a_block.attempt.order.out])
    assert len(found) == len(a_block.attempt.job.points) * len(set(a_block.attempt.job.arms))
    assert all(one.failure and "Invalid qos" in one.failure.message for one in found)
    assert {one.node.name for one in found} == {None}
