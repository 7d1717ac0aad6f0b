"""plan -> execute -> judge -> confirm."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.pipeline import profile_pair
from utils.pipeline.ask import RESULTS
from utils.pipeline.confirm import finish
from utils.pipeline.execute import execute, only_launcher, order_of, with_own_folder
from utils.pipeline.judge import VERDICT
from utils.pipeline.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

    from utils.pipeline.ask import Ask


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended, and where its results are; nowhere if there was nothing to run."""

    code: Exit
    out: Path | None


def run(ask: Ask) -> Ran:
    """Run points, show a table, say where the records are; with two arms also the verdict."""
    made = plan(ask)
    if not made.jobs:
        sys.stdout.write("nothing to run: no point's key differs\n")
        return Ran(Exit.OK, None)
    order, by_cluster = order_of(ask, made)
    launcher = only_launcher(by_cluster)
    unfinished = launcher.unfinished(order, RESULTS) if ask.out is None else None
    if unfinished:
        sys.stdout.write(f"going on with {unfinished}, which a launcher before this one left unfinished\n")
        order = replace(order, out=unfinished)
    elif ask.out is None:
        order = with_own_folder(launcher, order)
    code = execute(launcher, order)
    if made.pair is None or not any(job.base for job in made.jobs) or code is Exit.CANCELLED:
        return Ran(code, order.out)
    code = max(code, finish(ask, order, launcher))
    if ask.profile and (order.out / VERDICT).exists():
        code = max(code, profile_pair.pair(ask, order, launcher))
    return Ran(code, order.out)
