"""One paired sweep a cluster at a time: whoever was dispatched first. What is ahead is read from the plans that sweeps left."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix import estimate
from matrix.errors import Exit, HarnessError
from utils.github import pulls
from utils.github.api import GitHubError
from utils.sweeps import plan_artifact, workflow_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix.plan import Plan
    from utils.github.api import Api

CONTEXT = "servematrix/sweep"
PLAN = "sweep-plan"
"""The artifact with a sweep's plan."""
POLL_S = 60.0
LONGEST_S = 320 * 60.0
"""A job on GitHub's machines may take six hours; whoever waited so long waits on for the lock of its cluster (utils.sweeps.cluster_lock)."""
Hours = dict[str, float]
"""Cluster -> node-hours that a sweep may take there."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What comes before."""

    sweeps: int
    hours: float
    """Of those that are planned, at most."""
    unplanned: int = 0
    """How many of them are not planned yet: nobody knows their hours."""

    def __str__(self) -> str:
        if not self.sweeps:
            return "nothing is ahead of it"
        many = "a sweep is" if self.sweeps == 1 else f"{self.sweeps} sweeps are"
        known = f", at most {self.hours:.1f} h" if self.sweeps > self.unplanned else ""
        unknown = f", {self.unplanned} not planned yet" if self.unplanned else ""
        return f"{many} ahead of it{known}{unknown}"


def hours_of(plan: Plan) -> Hours:
    """What a plan may take on each of its clusters."""
    return {
        name: estimate.node_hours(
            plan.model_copy(update={"jobs": [job for job in plan.jobs if job.cluster == name]})
        )
        for name in sorted({job.cluster for job in plan.jobs})
    }


@dataclass(slots=True)
class Queue:
    """Sweeps that are not over, and where they run."""

    api: Api
    known: dict[int, Hours] = field(default_factory=dict)
    """Run -> its hours; a plan does not change once it is there."""

    def ahead(self, run: int, clusters: set[str] | None = None, *, over: int = 0) -> Ahead:
        """Sweeps that were dispatched before this run and share a cluster with it, or are not planned yet.

        Args:
            run: whose turn is asked for.
            clusters: where it will run; None means that it is not planned yet.
            over: a run that counts as over, although it is still writing its report.
        """
        hours, unplanned = list[float](), 0
        for one in workflow_runs.alive(self.api):
            if one.run < run and one.run != over:
                theirs = self.hours(one.run)
                if theirs is None:
                    unplanned += 1
                elif clusters is None:
                    hours.append(sum(theirs.values()))
                elif shared := theirs.keys() & clusters:
                    hours.append(sum(theirs[name] for name in shared))
        return Ahead(len(hours) + unplanned, sum(hours), unplanned)

    def hours(self, run: int) -> Hours | None:
        """What a sweep's plan says; None while there is none that can be read."""
        if run not in self.known:
            try:
                self.known[run] = hours_of(plan_artifact.read(self.api, run, PLAN))
            except HarnessError as error:
                if error.exit_code is not Exit.ARTIFACT_INVALID:
                    raise
                return None
        return self.known[run]


def wait(
    api: Api,
    run: int,
    plan: Plan,
    tell: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return when it is this sweep's turn, or when it has waited for long; each change of the queue is told."""
    queue, clusters = Queue(api), {job.cluster for job in plan.jobs}
    before, end = "", clock() + LONGEST_S
    while now := _waits_for(queue, run, clusters):
        if now != before:
            tell(now)
            before = now
        if clock() >= end:
            tell("goes on to the cluster, and waits there")
            return
        sleep(POLL_S)


def _waits_for(queue: Queue, run: int, clusters: set[str]) -> str:
    """What is ahead in words; empty for nothing. An hour's trouble of GitHub does not end a day's wait: somebody may be ahead."""
    try:
        found = queue.ahead(run, clusters)
    except GitHubError as error:
        return f"what is ahead of it is not known: {error.message}"
    return str(found) if found.sweeps else ""


def tell_waiting(api: Api, over: int) -> None:
    """Write on the commits of sweeps that were dispatched after one what is ahead of them, now that it is over."""
    queue = Queue(api)
    for one in workflow_runs.alive(api):
        with suppress(GitHubError):  # of one sweep, which is told when the next one is over
            said = pulls.newest(api, one.sha, CONTEXT) if one.run > over else None
            if said and said["state"] == "pending":  # else it has told its end already
                hours = queue.hours(one.run)
                left = queue.ahead(one.run, set(hours) if hours else None, over=over)
                pulls.status(api, one.sha, CONTEXT, "pending", description=str(left), url=one.url)
