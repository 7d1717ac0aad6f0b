"""How long jobs take: from earlier records, else from what the cluster file states; jobs split to fit the cluster's limit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError
from matrix.plan import in_canary
from matrix.protocol import canary_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matrix.cluster import Cluster
    from matrix.plan import Arm, Job, Plan, Point

PARITY_S = 10.0
"""Of a point in a run of a pair, whose answers are compared: 1 to 3 s on two H100s at 64 and 108 requests at once."""
MARGIN = 1.25
"""What is asked of the cluster, against the estimate: a job that is cut off has measured in vain."""


@dataclass(frozen=True, slots=True)
class History:
    """Seconds that earlier records tell, the longest of each."""

    starts: Mapping[str, float] = field(default_factory=dict)
    """Digest of a server command (`key.server`) -> from its start to its first completion."""
    points: Mapping[str, float] = field(default_factory=dict)
    """Key of a point -> warm-up, load and gates."""
    older: Mapping[str, float] = field(default_factory=dict)
    """Identifier of a point -> the same under whatever key it was measured last."""

    def of(self, point: Point) -> float | None:
        """What is known of a point: by its key, else by its name, for a change seldom changes how long it takes."""
        return self.points.get(point.key, self.older.get(point.id))


def timed(plan: Plan, clusters: Mapping[str, Cluster], history: History, *, canary: bool) -> Plan:
    """The plan with times, its jobs split where they would be longer than their cluster allows.

    Args:
        plan: as it was made.
        clusters: of its jobs, by name.
        history: what earlier records tell.
        canary: whether each arm of a job begins with one more start and short loads; jobs with two arms always do.

    Raises:
        HarnessError: OVER_BUDGET for a point that is too long for a job of its own.
    """
    jobs: list[Job] = []
    for job in plan.jobs:
        limits = clusters[job.cluster].limits
        known = _with_seconds(job, history)
        start_s = {
            arm: history.starts.get(key.server(job.of(arm).points[0].parts), limits.estimate_start_s)
            for arm in set(job.arms)
        }
        parts = _split(known, start_s, limits.walltime_s, canary=canary)
        for number, (which, wall) in enumerate(parts):
            name = job.id if len(parts) == 1 else f"{job.id}.{number + 1}of{len(parts)}"
            jobs.append(only(known, which).model_copy(update={"id": name, "walltime_s": wall}))
    update = {
        "jobs": jobs,
        "server_starts": sum(len(job.arms) for job in jobs),
        "from_records": sum(history.of(point) is not None for job in plan.jobs for point in job.points),
        "idle": _idle(jobs, clusters),
    }
    return plan.model_copy(update=update)


def _idle(jobs: Sequence[Job], clusters: Mapping[str, Cluster]) -> list[str]:
    """Devices that nobody uses: a job has a node to itself."""
    found: dict[str, None] = {}
    for job in jobs:
        devices = clusters[job.cluster].devices
        used = job.points[0].devices
        if devices.kind != "cpu" and used < devices.count:
            shape = job.id.removeprefix(f"{job.points[0].id.split('/')[0]}.").split(".")[0]
            found[f"{shape} uses {used} of {devices.count} {devices.model}; {devices.count - used} idle"] = (
                None
            )
    return list(found)


def only(job: Job, which: Sequence[int]) -> Job:
    """A job with some of its points, by position, in both arms."""
    if len(which) == len(job.points):
        return job
    base = job.base and job.base.model_copy(update={"points": [job.base.points[i] for i in which]})
    return job.model_copy(update={"points": [job.points[i] for i in which], "base": base})


def _with_seconds(job: Job, history: History) -> Job:
    def known(points: list[Point]) -> list[Point]:
        seconds = [math.ceil(history.of(point) or point.estimate_s) for point in points]
        return [
            point if point.estimate_s == s else point.model_copy(update={"estimate_s": s})
            for point, s in zip(points, seconds, strict=True)
        ]

    base = job.base and job.base.model_copy(update={"points": known(job.base.points)})
    return job.model_copy(update={"points": known(job.points), "base": base})


def _seconds(job: Job, which: Sequence[int], start_s: Mapping[Arm, float], *, canary: bool) -> float:
    """Every run a start and the points; before them a canary of each arm, a start and short loads."""
    points = {arm: job.base.points if job.base and arm == "base" else job.points for arm in start_s}
    runs = sum(start_s[arm] + sum(points[arm][i].estimate_s for i in which) for arm in job.arms)
    if not canary and job.base is None:
        return runs
    if job.base is not None:
        runs += PARITY_S * len(which) * len(job.arms)
    for arm in start_s:
        mine = [points[arm][i] for i in which]
        loaded = [mine[i] for i in in_canary(mine, paired=job.base is not None)]
        runs += start_s[arm] + sum(canary_seconds(one.protocol, one.estimate_s) for one in loaded)
    return runs


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
        f"\n  {job.walltime_s / 3600:7.2f} h  {job.id} (points: {len(job.points)})" for job in plan.jobs
    )
    raise HarnessError(
        Exit.OVER_BUDGET,
        f"{total:.2f} node-hours are more than the budget of {hours:g}; select fewer points, or raise --budget{parts}",
    )


def _split(
    job: Job, start_s: Mapping[Arm, float], limit_s: int, *, canary: bool
) -> list[tuple[list[int], int]]:
    """Positions of consecutive points in as few jobs as fit, each as full as it can be, and what is asked of the cluster for them."""

    def wall(which: list[int]) -> int:
        return math.ceil(MARGIN * _seconds(job, which, start_s, canary=canary))

    everything = list(range(len(job.points)))
    if (whole := wall(everything)) <= limit_s:
        return [(everything, whole)]
    parts: list[list[int]] = [[]]
    for number, point in enumerate(job.points):
        if wall([*parts[-1], number]) <= limit_s:
            parts[-1].append(number)
            continue
        if (alone := wall([number])) > limit_s:
            raise HarnessError(
                Exit.OVER_BUDGET,
                f"{point.id} alone may take {alone} s with {len(job.arms)} runs, and a job of this cluster {limit_s} s "
                "(limits.walltime_s); ask for fewer --runs, or lower the recipe's protocol",
            )
        parts.append([number]) if parts[-1] else parts[-1].append(number)
    return [(which, wall(which)) for which in parts]
