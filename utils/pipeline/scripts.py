"""The commands of a plan as text, for a person to read or to run by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from utils.pipeline.execute import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.plan import Job, Plan
    from utils.launch.interface import Launcher, Order
    from utils.pipeline.ask import Ask


def batch_scripts(ask: Ask, plan: Plan) -> Iterator[str]:
    """What would be handed to the batch system, one script a job."""
    order, by_cluster = order_of(ask, plan)
    for job in plan.jobs:
        yield by_cluster[job.cluster].batch(order, job)


def by_hand(ask: Ask, plan: Plan) -> Iterator[str]:
    """The commands of each job; of one with two arms those of the base, then those of the head."""
    order, by_cluster = order_of(ask, plan)
    for job in plan.jobs:
        yield from _job(by_cluster[job.cluster], order, job)


def _job(launcher: Launcher, order: Order, job: Job) -> Iterator[str]:
    if job.base is None:
        yield launcher.script(order, job)
        return
    yield f"# two servers in turns, each run a fresh one: {' '.join(job.arms)}\n# the base:\n"
    yield launcher.script(replace(order, tree=order.base_tree or order.tree), job.of("base"))
    yield "# the head:\n" + launcher.script(order, job.of("head"))
