"""`servematrix site`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.quarantine import Quarantine
from utils.node.files import below
from utils.report import alerts, prices
from utils.report.site import Inputs, make
from utils.results.changelog import entries as changelog
from utils.results.changelog.stale import stale
from utils.results.collect import placed
from utils.results.verdict import ledger
from utils.setup.environments import ROOT
from utils.sweeps import quarantine_copy

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "site data --out site"
PRICES = "prices.yaml"
"""On the data branch."""
NO_COPY = "It is a file of a cluster's login node, and no night has left a copy of it on the data branch that can be read; give its folder: --quarantine DIR."


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
    parser.add_argument(
        "--prices",
        metavar="FILE",
        help="what devices cost an hour: docs/report.md (default: prices.yaml in DATA)",
    )
    parser.add_argument(
        "--quarantine",
        metavar="DIR",
        help="the folder in which a cluster's launcher keeps its quarantine (default: what nights left in DATA)",
    )


def run(arguments: Namespace) -> Exit:
    """Write the dashboard and the week's digest."""
    folder = Path(arguments.data)
    if not folder.is_dir():
        raise HarnessError(Exit.USAGE, f"{folder} is not a folder; give a checkout of the data branch")
    file = Path(arguments.file) if arguments.file else ROOT / changelog.FILE
    log = changelog.read(file.read_bytes() if file.exists() else b"", file.name)
    nodes, words = _quarantine(arguments.quarantine, folder)
    price_file = Path(arguments.prices) if arguments.prices else folder / PRICES
    inputs = Inputs(
        placed=placed([folder]) if any(below(folder, "record.json")) else [],
        entries=log.root,
        ledger=ledger.read(folder / "ledger.jsonl"),
        said=alerts.read(folder / alerts.FILE),
        stale=stale(log, ROOT) if file == ROOT / changelog.FILE else [],
        quarantine=nodes,
        prices=prices.read(price_file) if arguments.prices or price_file.exists() else None,
        quarantine_words=words,
    )
    sys.stdout.write(f"{make(inputs, Path(arguments.out), _note)}\n")
    return Exit.OK


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _quarantine(given: str | None, data: Path) -> tuple[list[list[str]] | None, str]:
    """Nodes that are out of use, of the folder that was given, else of what nights left on the data branch; and words beside them."""
    if given:
        entries = Quarantine(Path(given)).entries()
        return [[one.node, quarantine_copy.day(one.until_unix_s), one.cause] for one in entries], ""
    copies = quarantine_copy.known(data)
    return (None, NO_COPY) if copies is None else quarantine_copy.shown(copies, time.time())
