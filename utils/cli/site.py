"""`servematrix site`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.quarantine import Quarantine
from utils.report import alerts, prices
from utils.report.site import Inputs, make
from utils.results.changelog import entries as changelog
from utils.results.changelog.stale import stale
from utils.results.collect import placed
from utils.results.verdict import ledger
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "site data --out site"


def configure(parser: ArgumentParser) -> None:
    """Where the data branch is, and where the pages go."""
    parser.add_argument(
        "data", metavar="DATA", help="a checkout of the data branch, or any folder with records"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="site",
        help="gets index.html, records.csv and digest.md (default: site)",
    )
    parser.add_argument("--file", metavar="FILE", help="another file than perf-changelog.yaml")
    parser.add_argument("--prices", metavar="FILE", help="what devices cost an hour: docs/report.md")
    parser.add_argument(
        "--quarantine",
        metavar="DIR",
        help="a copy of the folder in which a cluster's launcher keeps its quarantine",
    )


def run(arguments: Namespace) -> Exit:
    """Write the dashboard and the week's digest."""
    folder = Path(arguments.data)
    if not folder.is_dir():
        raise HarnessError(Exit.USAGE, f"{folder} is not a folder; give a checkout of the data branch")
    file = Path(arguments.file) if arguments.file else ROOT / changelog.FILE
    log = changelog.read(file.read_bytes() if file.exists() else b"", file.name)
    inputs = Inputs(
        placed=placed([folder]) if any(folder.rglob("record.json")) else [],
        entries=log.root,
        ledger=ledger.read(folder / "ledger.jsonl"),
        said=alerts.read(folder / alerts.FILE),
        stale=stale(log, ROOT) if file == ROOT / changelog.FILE else [],
        quarantine=_quarantine(Path(arguments.quarantine)) if arguments.quarantine else None,
        prices=prices.read(Path(arguments.prices)) if arguments.prices else None,
    )
    sys.stdout.write(f"{make(inputs, Path(arguments.out), _note)}\n")
    return Exit.OK


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _quarantine(folder: Path) -> list[list[str]]:
    """Nodes that are out of use now."""
    return [
        [one.node, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.until_unix_s)), one.cause]
        for one in Quarantine(folder).entries()
    ]
