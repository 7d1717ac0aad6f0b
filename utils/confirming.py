"""After a run with two arms: the verdict, and one more block for what stands out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix import estimate
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from utils.node.record import write_whole
from utils.results import pairs, verdict_show
from utils.results.collect import collect
from utils.verdict_commands import judged

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from utils.launch.base import Launcher, Order
    from utils.results.comparison import Comparison

FOLDER = "confirmation"
"""Below a run's results."""


def plan_of(out: Path) -> Plan:
    """The plan of an earlier run with two arms.

    Raises:
        HarnessError: USAGE where there is none.
    """
    try:
        plan = Plan.from_json(json.loads((out / "plan.json").read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise HarnessError(Exit.USAGE, f"{out} has no plan.json of a run: {error}") from error
    if plan.pair is None:
        raise HarnessError(
            Exit.USAGE, f"{out} was measured without --pair, so that there is nothing to confirm"
        )
    return plan


def again(plan: Plan, flagged: Sequence[str]) -> Plan:
    """One more block of both arms for the flagged points."""
    jobs = []
    for job in plan.jobs:
        which = [number for number, point in enumerate(job.points) if point.id in flagged]
        if which and job.base:
            jobs.append(estimate.only(job, which).model_copy(update={"id": f"{job.id}.confirm", "block": 2}))
    return plan.model_copy(
        update={
            "jobs": jobs,
            "points": sum(len(job.points) for job in jobs),
            "server_starts": sum(len(job.arms) for job in jobs),
        }
    )


def verdict(arguments: Namespace, out: Path, tree: Path) -> Comparison | None:
    """Judge what lies in a results folder, say it, and keep it beside the records; None where nothing can be compared."""
    try:
        base, head = pairs.arms(collect([out]))
        found = judged(base, head, arguments, tree)
    except HarnessError as error:
        sys.stdout.write(f"no verdict: {error}\n")
        return None
    verdict_show.write_text(sys.stdout, found)
    write_whole(out / "verdict.json", found.to_json().encode())
    return found


def finish(
    arguments: Namespace,
    order: Order,
    launcher: Launcher,
    timed: Callable[[Namespace, Plan], Plan],
    launch: Callable[[Launcher, Order], Exit],
) -> Exit:
    """Judge a run, and measure once more what stands out; there is no third time."""
    found = verdict(arguments, order.out, order.tree)
    if found is None or not found.flagged:
        return Exit.OK
    later = f"./servematrix run --confirm {order.out}"
    if arguments.no_confirm:
        sys.stdout.write(f"{len(found.flagged)} points wait for their confirmation: {later}\n")
        return Exit.OK
    sys.stdout.write(f"measuring {len(found.flagged)} points once more, to confirm\n")
    plan = timed(arguments, again(order.plan, found.flagged))
    code = launch(launcher, launcher.claim(replace(order, plan=plan, out=order.out / FOLDER)))
    verdict(arguments, order.out, order.tree)
    return code
