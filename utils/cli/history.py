"""`servematrix history POINT`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError, did_you_mean
from matrix.metrics import METRICS
from utils.node import record
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


EXAMPLE = "history qwen3moe-tiny-cpu-vllm/128x64-tp1-c4"


def configure(parser: ArgumentParser) -> None:
    """A point, and where its figures are."""
    parser.add_argument("point", metavar="POINT", help="a point's whole identifier")
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
    """Show a point's series, its entries and its steps."""
    recipe, _, short = arguments.point.partition("/")
    file = Path(arguments.file) if arguments.file else ROOT / changelog.FILE
    log = changelog.read(file.read_bytes(), file.name).root if file.exists() else {}
    entries = log.get(recipe, [])
    folders = [Path(folder) for folder in arguments.data] or [ROOT / "results"]
    records = [one for folder in folders if folder.is_dir() for one in _records(folder, short)]
    found = series(arguments.point, records, entries)
    if not found:
        known = {one.point for one in records} | {
            f"{recipe}/{name}" for entry in entries for name in entry.points
        }
        hint = did_you_mean(arguments.point, known) or "give folders with records: --data DIR"
        raise HarnessError(Exit.NOTHING_SELECTED, f"nothing is known of {arguments.point}; {hint}")
    stepped = steps(found, entries)
    columns, rows = tables.without_empty(COLUMNS, [_row(one) for one in found])
    if arguments.format == "markdown":
        heads = [name for name, _ in columns]
        sys.stdout.write(f"**{escape(arguments.point)}**\n\n{table(heads, rows)}\n")
        sys.stdout.writelines(f"- {escape(line)}\n" for line in _told(stepped, len(found)))
    else:
        tables.table(sys.stdout, f"{arguments.point}: means of whole runs", columns, rows)
        sys.stdout.writelines(f"{line}\n" for line in _told(stepped, len(found)))
    return Exit.OK


def _records(folder: Path, short: str) -> list[Record]:
    """Records of a point by the name of their folder, so that a large data branch need not be read whole."""
    try:
        return collect([folder], f"{short}/{record.FILE}")
    except HarnessError:
        if any(folder.rglob(f"{short}/{record.FILE}")):
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
        f"step: {METRICS[one.metric].heading} {one.percent:+.1f} % ({_shown(one.metric, one.before)} to {_shown(one.metric, one.after)}) on {one.day} "
        f"at {one.commit[:10]}, {one.sides[0]} measurements before and {one.sides[1]} after"
        + (f"; nearest entry: {clean(one.near)}" if one.near else "")
        for one in stepped
    ]
