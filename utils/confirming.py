"""After a run with two arms: the verdict, and one more block for what stands out."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix import estimate
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from utils.node import record
from utils.node.record import write_whole
from utils.results import pairs, verdict_show
from utils.results.collect import collect
from utils.verdict_commands import add_to_ledger, judged, ledger_file

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
    if plan.pair is None or not any(job.base for job in plan.jobs):
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


def verdict(arguments: Namespace, out: Path, tree: Path) -> Comparison:
    """Judge what lies in a results folder, say it, and keep it beside the records."""
    base, head = pairs.arms(collect([out]))
    found = judged(base, head, arguments, tree)
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
    """Judge a run, and measure once more what stands out; there is no third time. What was learned of noise goes into the ledger."""
    try:
        found = verdict(arguments, order.out, order.tree)
        code = Exit.OK
        if found.flagged:
            code = _confirm(arguments, order, found.flagged, timed=timed, start=partial(launch, launcher))
        if os.environ.get("GITHUB_ACTIONS") != "true":  # there the job that publishes does it
            add_to_ledger(ledger_file(arguments), collect([order.out]))
    except HarnessError as error:
        sys.stdout.write(f"no verdict: {error}\n")
        return error.exit_code
    return code


def _confirm(
    arguments: Namespace,
    order: Order,
    flagged: list[str],
    *,
    timed: Callable[[Namespace, Plan], Plan],
    start: Callable[[Order], Exit],
) -> Exit:
    waiting = f"{len(flagged)} points wait for their confirmation: ./servematrix run --confirm {order.out}\n"
    if arguments.no_confirm:
        sys.stdout.write(waiting)
        return Exit.OK
    out = order.out / FOLDER
    plan = _begun(out) or timed(arguments, again(order.plan, flagged))
    if arguments.budget and estimate.node_hours(order.plan) + estimate.node_hours(plan) > arguments.budget:
        sys.stdout.write(f"no budget is left to confirm; {waiting}")
        return Exit.OVER_BUDGET
    sys.stdout.write(f"measuring {plan.points} points once more, to confirm\n")
    _set_aside(out)
    code = start(replace(order, plan=plan, out=out))
    verdict(arguments, order.out, order.tree)
    return code


def _begun(out: Path) -> Plan | None:
    """The plan of a confirmation that was cut off: it goes on as it was begun."""
    try:
        return Plan.from_json(json.loads((out / "plan.json").read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def _set_aside(out: Path) -> None:
    """A local launcher's half of a confirmation is kept raw and judged by nobody; Slurm's goes on by itself."""
    if not (out / "jobs").exists() or (out / "launch").exists():
        return
    number = 1 + sum(1 for _ in out.parent.glob(f"broken/{FOLDER}.*"))
    kept = out.parent / "broken" / f"{FOLDER}.{number}"
    kept.parent.mkdir(exist_ok=True)
    out.rename(kept)
    write_whole(kept / record.BROKEN, b'{"why": "the confirmation was cut off"}')
