"""`servematrix report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.cli.options import ledger_path, takes_ledger
from utils.pipeline.judge import judged
from utils.pipeline.reasons import with_reasons
from utils.report import prices
from utils.report.make import make
from utils.results.collect import placed
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison

EXAMPLE = "report results/20261126-* --out report"


def configure(parser: ArgumentParser) -> None:
    """Where records are, and where the page goes."""
    parser.add_argument("folders", nargs="+", metavar="RESULTS", help="folders with records")
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="report",
        help="gets report.html, records.csv and charts/ (default: report)",
    )
    parser.add_argument(
        "--prices", metavar="FILE", help="what devices cost an hour, with source and date: docs/report.md"
    )
    takes_ledger(parser)


def run(arguments: Namespace) -> Exit:
    """Write one page that opens without a network."""
    known = prices.read(Path(arguments.prices)) if arguments.prices else None
    found = placed([Path(folder) for folder in arguments.folders])
    records = [record for record, _ in found]
    compared, refused = _compared(records, arguments)
    path = make(found, compared, known, Path(arguments.out), _note, refused=refused)
    sys.stdout.write(f"{path}\n")
    return Exit.OK


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _compared(records: list[Record], arguments: Namespace) -> tuple[Comparison | None, str]:
    """Of both arms; None where there is one, or they cannot be compared, with the reason, which the page says."""
    base, head = ([one for one in records if one.arm == arm] for arm in ("base", "head"))
    if not base or not head:
        return None, ""
    try:
        found = judged(base, head, ledger_path(arguments), ROOT)
        return with_reasons(found, map(Path, arguments.folders)), ""
    except HarnessError as error:
        if error.exit_code is not Exit.NOT_COMPARABLE:
            raise
        _note(f"no verdict: {error}")
        return None, " ".join(str(error).split())
