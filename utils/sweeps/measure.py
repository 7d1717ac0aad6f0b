"""The sweep's measuring jobs: wait for the cluster, then run one job of the plan."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.github.trigger import from_environment, summary
from utils.launch.choice import state_folder
from utils.launch.quarantine import Quarantine
from utils.pipeline.ask import Ask
from utils.pipeline.execute import execute, only_launcher, order_of
from utils.sweeps import cluster_lock, quarantine_copy, queue
from utils.sweeps.inputs import read_plan

if TYPE_CHECKING:
    from pathlib import Path


def wait_for_clusters(plan: Path) -> Exit:
    """Wait until no older sweep is at work on its clusters; the queue is shown in the job's log and on the run's page.

    Args:
        plan: folder with the sweep's plan.json.
    """
    event = from_environment()
    queue.wait(event.api, int(event.run), read_plan(plan), _tell)
    return Exit.OK


def measure(tree: Path, plan: Path, job: str, out: Path) -> Exit:
    """Measure one job of the plan, while no other sweep is at work on its cluster.

    A gate that failed is a result; only what broke makes this fail, so that it can be run again.

    Args:
        tree: checkout of the pull request's commit.
        plan: folder with the sweep's plan.json.
        job: one of its.
        out: where results go.
    """
    whole = read_plan(plan)
    jobs = [one for one in whole.jobs if one.id == job]
    if not jobs:
        raise HarnessError(
            Exit.USAGE, f"{plan} has no job {job!r}; it has {', '.join(one.id for one in whole.jobs)}"
        )
    ask = Ask(root=tree, out=out.absolute())
    order, by_cluster = order_of(ask, whole.model_copy(update={"jobs": jobs}))
    event = from_environment()
    try:
        with cluster_lock.held(state_folder(), jobs[0].cluster, f"run {event.run}", _tell):
            code = execute(only_launcher(by_cluster), order)
    finally:
        if not event.at("inputs", "sha"):  # a night, whose code is merged; a sweep's results tell of no node
            _leave_quarantine(jobs[0].cluster, order.out)
    return Exit.OK if code is Exit.GATE_FAILED else code


def _leave_quarantine(cluster: str, out: Path) -> None:
    """For the dashboard; without it the results are what they are."""
    try:
        quarantine_copy.leave(Quarantine(state_folder()), cluster, out)
    except (HarnessError, OSError) as error:
        _tell(f"no copy of the quarantine was left: {error}")


def _tell(text: str) -> None:
    """A line of the job's log, and of the run's page."""
    line = f"{datetime.now(UTC):%H:%M} UTC: {text}\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    summary(f"{line}\n")
