"""A point that is loaded once more, because something was compiled in its load: when that may be, and what is said of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.plan import Point
    from utils.node.record import Gate
    from utils.node.spec import NodeJob, Run

FIRST = "load-1."
"""Begins the names of what the first of two loads left, which nobody reads as a result."""
OF_A_STALL = frozenset({"silence", "short_stalls", "evenness", "same_pace", "one_by_one", "first_token"})
"""Gates that fail beside `jit` where all waited for a compiler."""


def compiled(gates: Sequence[Gate]) -> str:
    """What was compiled in a load, where nothing else is wrong with it; empty where it is as it is."""
    failed = {gate.name: gate.found for gate in gates if not gate.passed}
    return failed.get("jit", "") if failed.keys() <= OF_A_STALL | {"jit"} else ""


def remark(found: str) -> str:
    """What a reader of the record should know.

    Args:
        found: by the gate `jit` in the first load.
    """
    return f"loaded twice: in the first load something was compiled ({found}); all figures and gates are the second load's"


def until(spec: NodeJob, run: Run, point: Point, start_s: float) -> float:
    """When a second load of a point must be over, on the monotonic clock; minus infinity where there must be none.

    A pair's canaries have loaded each concurrency, and a server that could ask for another load when its first was slow would gain by it.
    The figures of a canary and of a profile are nobody's. A server with a prefix cache knows the prompts, which are the same. What else
    the job has to do must still have its time.

    Args:
        spec: of the job.
        run: that measures the point.
        point: one of the job's.
        start_s: how long the run's start took, which later ones take as well.
    """
    if (
        spec.paired
        or spec.job.base is not None
        or spec.canary
        or spec.profile
        or point.parts.get("flags", {}).get("enable-prefix-caching") is not False
    ):
        return -math.inf
    if not spec.found.began_s or not spec.job.walltime_s:
        return math.inf  # nobody ends the job
    seconds = [one.estimate_s for one in spec.job.points]
    after = sum(seconds[[one.id for one in spec.job.points].index(point.id) + 1 :])
    runs = len(spec.job.arms) - run.index - 1
    return spec.found.began_s + spec.job.walltime_s - after - runs * (start_s + sum(seconds))
