"""The commands of a plan as text, for a person to read or to run by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from utils.launch import script
from utils.launch.interface import holds_nothing
from utils.node.files import write_whole
from utils.pipeline.execute import order_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matrix.plan import Job, Plan
    from utils.launch.interface import Launcher, Order
    from utils.pipeline.ask import Ask


def batch_scripts(ask: Ask, plan: Plan) -> Iterator[str]:
    """What would be handed to the batch system, one script a job."""
    order, by_cluster = order_of(ask, plan)
    for job in plan.jobs:
        yield by_cluster[job.cluster].batch(order, job)


def by_hand(ask: Ask, plan: Plan) -> dict[str, str]:
    """The commands of each job by the name of its file; of one with two arms that of the base, then that of the head."""
    order, by_cluster = order_of(ask, plan)
    found: dict[str, str] = {}
    for job in plan.jobs:
        found |= _job(by_cluster[job.cluster], order, job)
    return found


def _job(launcher: Launcher, order: Order, job: Job) -> dict[str, str]:
    if job.base is None:
        return {f"{job.id}.sh": launcher.script(order, job)}
    turns = f"# two servers in turns, each run a fresh one: {' '.join(job.arms)}\n"
    of_base = replace(order, tree=order.base_tree or order.tree)
    return {
        f"{job.id}.base.sh": turns + launcher.script(of_base, job.of("base"), "base"),
        f"{job.id}.head.sh": turns + launcher.script(order, job.of("head"), "head"),
    }


def write(scripts: dict[str, str], folder: Path) -> list[Path]:
    """A file a script, in a folder that holds nothing else.

    Raises:
        HarnessError: OUT_IN_USE where it does.
    """
    holds_nothing(folder)
    written = []
    for name, text in scripts.items():
        path = folder / name
        write_whole(path, script.whole(text).encode())
        path.chmod(0o755)
        written.append(path)
    return written
