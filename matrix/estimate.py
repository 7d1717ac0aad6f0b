"""How long jobs take: from earlier records, else from what the cluster file states; jobs split to fit the cluster's limit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError
from matrix.protocol import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.cluster import Cluster, Limits
    from matrix.plan import Job, Plan, Point
    from matrix.protocol import Protocol

MARGIN = 1.25
"""What is asked of the cluster, against the estimate: a job that is cut off has measured in vain."""
CALL_S = 3.0
"""Start and end of a client call, of which a point has two."""


@dataclass(frozen=True, slots=True)
class History:
    """Seconds that earlier records tell, the longest of each."""

    starts: Mapping[str, float] = field(default_factory=dict)
    """Digest of a server command (`server`) -> from its start to its first completion."""
    points: Mapping[str, float] = field(default_factory=dict)
    """Key of a point -> warm-up, load and gates."""


def server(parts: key.Parts) -> str:
    """What points with one server have in common."""
    return key.digest({name: part for name, part in parts.items() if name != "workload"})


def point_seconds(protocol: Protocol, concurrency: int, tokens: int, limits: Limits) -> float:
    """Warm-up and load of a point that nobody has measured.

    A request of so many tokens takes what it takes alone, and what the node's full rate needs for all that run beside it.
    """
    request_s = limits.estimate_request_s + concurrency * tokens / limits.estimate_tok_per_s
    waves = requests(protocol, concurrency, 0.0) / concurrency
    warm_up = protocol.warmup_requests_per_concurrency * request_s
    return 2 * CALL_S + warm_up + max(protocol.min_duration_s, waves * request_s)


def timed(plan: Plan, clusters: Mapping[str, Cluster], runs: int, history: History, *, canary: bool) -> Plan:
    """The plan with times, its jobs split where they would be longer than their cluster allows.

    Args:
        plan: as it was made.
        clusters: of its jobs, by name.
        runs: fresh servers of each arm.
        history: what earlier records tell.
        canary: whether each job begins with one more start and its smallest point.

    Raises:
        HarnessError: OVER_BUDGET for a point that is too long for a job of its own.
    """
    jobs: list[Job] = []
    for job in plan.jobs:
        limits = clusters[job.cluster].limits
        points = [point.model_copy(update={"estimate_s": _seconds(point, history)}) for point in job.points]
        start_s = history.starts.get(server(points[0].parts), limits.estimate_start_s)
        parts = _split(points, start_s, runs * len(job.arms), limits.walltime_s, canary=canary)
        for number, members in enumerate(parts):
            name = job.id if len(parts) == 1 else f"{job.id}.{number + 1}of{len(parts)}"
            wall = walltime(members, start_s, runs * len(job.arms), canary=canary)
            jobs.append(job.model_copy(update={"id": name, "points": members, "walltime_s": wall}))
    return plan.model_copy(update={"jobs": jobs, "server_starts": len(jobs)})


def walltime(points: list[Point], start_s: float, runs: int, *, canary: bool) -> int:
    """Seconds to ask for: every run a start and all points, before them the canary, and a margin."""
    seconds = runs * (start_s + sum(point.estimate_s for point in points))
    if canary:
        seconds += start_s + min(point.estimate_s for point in points)
    return math.ceil(MARGIN * seconds)


def node_hours(plan: Plan) -> float:
    """What the plan may take of the cluster: one node a job."""
    return sum(job.walltime_s for job in plan.jobs) / 3600


def hold_budget(plan: Plan, hours: float | None) -> None:
    """Refuse a plan that may take more than it may.

    Raises:
        HarnessError: OVER_BUDGET, with the sum and its parts.
    """
    total = node_hours(plan)
    if hours is None or total <= hours:
        return
    parts = "".join(
        f"\n  {job.walltime_s / 3600:7.2f} h  {job.id} ({len(job.points)} points)" for job in plan.jobs
    )
    raise HarnessError(
        Exit.OVER_BUDGET,
        f"{total:.2f} node-hours are more than the budget of {hours:g}; select fewer points, or raise --budget{parts}",
    )


def _seconds(point: Point, history: History) -> int:
    return math.ceil(history.points.get(point.key, point.estimate_s))


def _split(
    points: list[Point], start_s: float, runs: int, limit_s: int, *, canary: bool
) -> list[list[Point]]:
    """Consecutive points in as few jobs as fit, each as full as it can be."""
    parts: list[list[Point]] = [[]]
    for point in points:
        if walltime([*parts[-1], point], start_s, runs, canary=canary) <= limit_s:
            parts[-1].append(point)
            continue
        alone = walltime([point], start_s, runs, canary=canary)
        if alone > limit_s:
            raise HarnessError(
                Exit.OVER_BUDGET,
                f"{point.id} alone may take {alone} s with {runs} runs, and a job of this cluster {limit_s} s "
                "(limits.walltime_s); ask for fewer --runs, or lower the recipe's protocol",
            )
        parts.append([point]) if parts[-1] else parts[-1].append(point)
    return parts
