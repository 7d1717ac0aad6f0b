"""`servematrix history SELECTOR…`."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.metrics import METRICS
from matrix.select import hint, names_of
from utils.cli.example import POINT
from utils.cli.options import SELECTORS
from utils.node import record
from utils.node.files import below
from utils.results.changelog import entries as changelog
from utils.results.collect import collect
from utils.results.history import series, steps
from utils.setup.environments import ROOT
from utils.show import tables
from utils.show.log import clean
from utils.show.markdown import escape, table

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.node.record import Record
    from utils.results.history import Measurement, Step

COLUMNS = [
    ("day", "left"),
    ("commit", "left"),
    *((metric.heading, "right") for metric in METRICS.values()),
    ("runs", "right"),
    ("from", "left"),
    ("change", "left"),
]


EXAMPLE = f"history {POINT}"


def configure(parser: ArgumentParser) -> None:
    """Points, and where their figures are."""
    parser.add_argument(
        "selectors", nargs="+", metavar="SELECTOR", help=SELECTORS.removesuffix("; none means all")
    )
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="folders with records, such as a checkout of the data branch (default: results)",
    )
    parser.add_argument("--file", metavar="FILE", help="another file than perf-changelog.yaml")
    parser.add_argument("--format", choices=["text", "markdown"], default="text", help="default: text")


def run(arguments: Namespace) -> Exit:
    """Show each point's series, its entries and its steps."""
    file = Path(arguments.file) if arguments.file else ROOT / changelog.FILE
    log = changelog.read(file.read_bytes(), file.name).root if file.exists() else {}
    for name in arguments.data:
        if not Path(name).is_dir():
            raise HarnessError(Exit.USAGE, f"--data {name} is not a folder; give one with records")
    folders = [Path(folder) for folder in arguments.data] or [ROOT / "results"]
    pattern = _pattern(arguments.selectors)
    records = [one for folder in folders if folder.is_dir() for one in _records(folder, pattern)]
    every = {
        point: found
        for point in sorted({one.point for one in records} | set(changelog.points(log)))
        if (found := series(point, records, log.get(point.split("/")[0], [])))
    }
    for selector in arguments.selectors:
        if not names_of(list(every), [selector]):
            there = {
                one.point for folder in folders if folder.is_dir() for one in _records(folder, record.FILE)
            }
            near = hint(selector, sorted({*every, *there})) or "give folders with records: --data DIR"
            raise HarnessError(Exit.NOTHING_SELECTED, f"nothing is known of {selector}; {near}")
    for number, point in enumerate(names_of(list(every), arguments.selectors)):
        sys.stdout.write("\n" if number else "")
        recipe = point.split("/")[0]
        among = sum(one.split("/")[0] == recipe for one in every)
        _show(point, every[point], steps(every[point], log.get(recipe, []), among=among), arguments.format)
    return Exit.OK


def _show(point: str, found: list[Measurement], stepped: list[Step], form: str) -> None:
    columns, rows = tables.without_empty(COLUMNS, [_row(one) for one in found])
    if form == "markdown":
        heads = [name for name, _ in columns]
        sys.stdout.write(f"**{escape(point)}**\n\n{table(heads, rows)}\n")
        sys.stdout.writelines(f"- {escape(line)}\n" for line in _told(stepped, len(found)))
    else:
        width = get_terminal_size().columns
        tables.table(sys.stdout, f"{point}: means of whole runs", columns, rows, width=width)
        sys.stdout.writelines(f"{line}\n" for line in _told(stepped, len(found)))


def _pattern(selectors: list[str]) -> str:
    """Records by the name of their point's folder where one point is asked for: a large data branch need not be read whole."""
    (first, *more) = selectors
    _, _, short = first.partition("/")
    return record.FILE if more or not short or set("*?[") & set(short) else f"{short}/{record.FILE}"


def _records(folder: Path, pattern: str) -> list[Record]:
    try:
        return collect([folder], pattern)
    except HarnessError:
        if any(below(folder, pattern)):
            raise
        return []


def _row(one: Measurement) -> list[str]:
    figures = [METRICS[name].shown(one.values[name]) if name in one.values else "" for name in METRICS]
    return [one.day, one.commit[:10], *figures, str(one.runs), clean(one.origin), clean(one.title)]


def _shown(metric: str, value: float) -> str:
    return METRICS[metric].shown(value)


def _told(stepped: list[Step], measurements: int) -> list[str]:
    if not stepped:
        return [f"no step in {measurements} measurements"]
    return [
        f"{'shown once, and not confirmed since' if one.taken_back else 'step'}: {METRICS[one.metric].about} {one.percent:+z.1f} % ({_shown(one.metric, one.before)} to {_shown(one.metric, one.after)}) on {one.day} "
        f"at {one.commit[:10]}, {one.sides[0]} measurements before and {one.sides[1]} after"
        + (f"; nearest entry: {clean(one.near)}" if one.near else "")
        for one in stepped
    ]
