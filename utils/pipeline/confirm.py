"""After a run with two arms: the verdict, and one more block for what may be a change."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix import estimate, select
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from utils.node import record
from utils.node.files import write_whole
from utils.pipeline.execute import ASKED, execute, only_launcher, order_of
from utils.pipeline.judge import judge_folder
from utils.pipeline.plan import timed
from utils.results.collect import collect
from utils.results.verdict import ledger_file
from utils.show.tables import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.tree import Tree
    from utils.launch.interface import Launcher, Order
    from utils.pipeline.ask import Ask

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
    if plan.pair is None or not any(job.base for job in plan.jobs):
        raise HarnessError(
            Exit.USAGE,
            f"{out} was measured without --pair, so there is nothing to confirm; run it again with --pair",
        )
    return plan


def again(plan: Plan, flagged: Sequence[str]) -> Plan:
    """One more block of both arms for the flagged points, which are whole jobs: points of one server are judged beside each other."""
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


def finish(ask: Ask, order: Order, launcher: Launcher) -> Exit:
    """Judge a run, and measure once more what may be a change; there is no third time. What was learned of noise goes into the ledger."""
    try:
        found = judge_folder(order.out, ask.ledger, order.tree)
        code = _confirm(ask, order, launcher, found.flagged) if found.flagged else Exit.OK
        if os.environ.get("GITHUB_ACTIONS") != "true":  # there the job that publishes does it
            ledger_file.add(ask.ledger, collect([order.out]))
    except HarnessError as error:
        sys.stdout.write(f"no verdict: {error}\n")
        return error.exit_code
    return code


def resume(ask: Ask, out: Path) -> Exit:
    """`run --confirm DIR`: what a run that did not confirm, or one that was cut off, left to do.

    Args:
        ask: launcher, ledger and budget; points, base, tree and environment are those of the results.
        out: the results.
    """
    plan = plan_of(out)
    asked = json.loads((out / ASKED).read_bytes())
    environment = Path(asked["environment"]) if asked["environment"] else None
    cluster = plan.jobs[0].cluster
    ask = replace(
        ask, root=Path(asked["tree"]), environment=environment, cluster=cluster, out=out, confirms=True
    )
    order, by_cluster = order_of(ask, plan)
    _refuse_other_keys(plan, ask.tree)
    return finish(ask, order, only_launcher(by_cluster))


def _refuse_other_keys(plan: Plan, tree: Tree) -> None:
    points = [point for job in plan.jobs for point in job.points]
    now = {
        point.id: point.key
        for job in select.chosen(tree, [point.id for point in points]).jobs
        for point in job.points
    }
    if moved := [point.id for point in points if now.get(point.id) != point.key]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{counted(len(moved), 'point')} changed since ({moved[0]}); check out what was measured, then confirm",
        )


def _confirm(ask: Ask, order: Order, launcher: Launcher, flagged: list[str]) -> Exit:
    waiting = f"{counted(len(flagged), 'point')} to confirm: ./servematrix run --confirm {order.out}\n"
    if not ask.confirms:
        sys.stdout.write(waiting)
        return Exit.OK
    out = order.out / FOLDER
    plan = _begun(out) or timed(ask, again(order.plan, flagged))
    if ask.budget_h and estimate.node_hours(order.plan) + estimate.node_hours(plan) > ask.budget_h:
        sys.stdout.write(f"no budget is left to confirm; {waiting}")
        return Exit.OVER_BUDGET
    sys.stdout.write(f"measuring {plan.points} points once more, to confirm\n")
    _set_aside(out)
    code = execute(launcher, replace(order, plan=plan, out=out))
    judge_folder(order.out, ask.ledger, order.tree)
    return code


def _begun(out: Path) -> Plan | None:
    """The plan of a confirmation that was cut off: it goes on as it was begun."""
    try:
        return Plan.from_json(json.loads((out / "plan.json").read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def _set_aside(out: Path) -> None:
    """A local launcher's half of a confirmation is kept raw and judged by nobody; a batch system's goes on by itself."""
    if not (out / "jobs").exists() or (out / "launch").exists():
        return
    number = 1 + sum(1 for _ in out.parent.glob(f"broken/{FOLDER}.*"))
    kept = out.parent / "broken" / f"{FOLDER}.{number}"
    kept.parent.mkdir(exist_ok=True)
    out.rename(kept)
    write_whole(kept / record.BROKEN, b'{"why": "the confirmation was cut off"}')
