"""`servematrix plan`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.plan import GITHUB_JOB_LIMIT
from utils.cli.example import LARGE
from utils.cli.options import asked, takes_points
from utils.pipeline.ask import Ask
from utils.pipeline.plan import plan
from utils.show import tables

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from matrix.plan import Plan

EXAMPLE = f"plan {LARGE}"


def configure(parser: ArgumentParser) -> None:
    """Points, and the form of the answer."""
    takes_points(parser)
    parser.add_argument(
        "--format", choices=["table", "ids", "json", "github"], default="table", help="default: table"
    )


def run(arguments: Namespace) -> Exit:
    """Show what would run."""
    made = plan(asked(arguments))
    for problem in made.problems:
        sys.stderr.write(f"{problem}\n")
    for note in made.notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(_FORMATS[arguments.format](made)) if arguments.format != "table" else _table(
        made, arguments.changed
    )
    return Exit.OK


def _table(made: Plan, changed: str | None) -> None:
    from utils.pipeline.foresight import lines  # noqa: PLC0415 - only the table ends with a forecast
    from utils.results.verdict import ledger  # noqa: PLC0415 - the same

    if made.jobs:
        tables.table(sys.stdout, "Plan", *tables.plan_table(made))
    elif changed:
        sys.stdout.write(f"no point's key differs from {changed.partition('...')[0]}\n")
    sys.stdout.writelines(f"gone: {point}\n" for point in made.gone)
    sys.stdout.writelines(
        f"measured before with this key, in {name}: {point}\n" for point, name in made.reused.items()
    )
    if made.jobs or not changed:
        sys.stdout.write(tables.plan_summary(made) + "\n")
    sys.stdout.writelines(f"{line}\n" for line in lines(made, ledger.read(Ask.ledger)))


def _ids(made: Plan) -> str:
    return "".join(f"{point.id}\n" for job in made.jobs for point in job.points)


def _github(made: Plan) -> str:
    if len(made.jobs) > GITHUB_JOB_LIMIT:
        raise HarnessError(
            Exit.USAGE,
            f"{len(made.jobs)} jobs are more than the {GITHUB_JOB_LIMIT} that a matrix may have; select fewer points",
        )
    ids = [job.id for job in made.jobs]
    return f"count={len(ids)}\nmatrix={json.dumps({'job': ids}, separators=(',', ':'))}\n"


_FORMATS = {"ids": _ids, "json": lambda made: made.to_json() + "\n", "github": _github}
