"""After the verdict of a run with two arms: a pair of profiles of the point whose TPOT moved most, so that the verdict has its reason."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from matrix import estimate
from matrix.errors import Exit, HarnessError
from utils.node import record
from utils.node.files import write_whole
from utils.pipeline.execute import execute
from utils.pipeline.judge import judge_folder
from utils.pipeline.plan import timed
from utils.pipeline.reasons import traces
from utils.pipeline.tpot_change import moved_most
from utils.profile.pair import FOLDER

if TYPE_CHECKING:
    from matrix.plan import Plan
    from utils.launch.interface import Launcher, Order
    from utils.pipeline.ask import Ask
    from utils.results.verdict.outcome import Comparison


def of_one(plan: Plan, point: str) -> Plan:
    """One start of each arm for one point."""
    for job in plan.jobs:
        which = [number for number, one in enumerate(job.points) if one.id == point]
        if which and job.base:
            update = {"id": f"{job.id}.profile", "arms": ["base", "head"]}
            one = estimate.only(job, which).model_copy(update=update)
            return plan.model_copy(update={"jobs": [one], "points": 1, "server_starts": 2})
    raise HarnessError(
        Exit.NOTHING_SELECTED, f"{point} has no base in this plan, so that no pair of it can be profiled"
    )


def pair(ask: Ask, order: Order, launcher: Launcher) -> Exit:
    """Profile the point that moved most in both arms, and judge again; where none moved beyond its noise, say so.

    What goes wrong here costs no verdict: it is said, and the outcome has the code.
    """
    found = judge_folder(order.out, ask.ledger, order.tree, quiet=True)
    point = moved_most(found.points)
    if point is None:
        sys.stdout.write(
            "no profile: no point's TPOT moved beyond its noise, so that there is nothing to explain\n"
        )
        return Exit.OK
    plan = timed(ask, of_one(order.plan, point.point))
    if ask.budget_h and estimate.node_hours(order.plan) + estimate.node_hours(plan) > ask.budget_h:
        sys.stdout.write(f"no budget is left to profile {point.point}\n")
        return Exit.OVER_BUDGET
    sys.stdout.write(f"profiling {point.point} in both arms: its TPOT moved most\n")
    write_whole(order.out / FOLDER / record.BROKEN, b'{"why": "profiles, which nobody judges"}\n')
    code = execute(launcher, replace(order, plan=plan, out=order.out / FOLDER / "run", profile=ask.profile))
    return max(code, _said(ask, order, found))


def _said(ask: Ask, order: Order, before: Comparison) -> Exit:
    if not traces(order.out):
        sys.stdout.write(
            f"the verdict has no reason: the profiles have no trace; logs: {order.out / FOLDER}\n"
        )
        return Exit.OK
    found = judge_folder(order.out, ask.ledger, order.tree, quiet=True)
    for line in (
        *(one.text for one in found.reasons),
        *(note for note in found.notes if note not in before.notes),
    ):
        sys.stdout.write(f"where the time went: {line}\n")
    return Exit.OK
