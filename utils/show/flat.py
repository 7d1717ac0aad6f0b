"""Records as one flat table: a row a record, for pandas, spreadsheets and databases."""

from __future__ import annotations

import csv
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from matrix.errors import Exit, HarnessError
from matrix.metrics import METRICS, value
from utils.node import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from utils.node.record import Record

Cell = str | int | float | None

IDENTITY: dict[str, Callable[[Record], Cell]] = {
    "point": lambda one: one.point,
    "recipe": lambda one: one.recipe or one.point.split("/")[0],
    "status": lambda one: one.status,
    "arm": lambda one: one.arm,
    "run": lambda one: one.run_index + 1,
    "block": lambda one: one.block,
    "time": lambda one: datetime.fromtimestamp(one.clock.wall_unix_s, UTC).isoformat(timespec="seconds"),
    "commit": lambda one: one.provenance.tree_commit,
    "key": lambda one: one.key,
    "observed_key": lambda one: one.observed.key if one.observed else None,
    "allocation": lambda one: one.allocation,
    "node": lambda one: one.node.name or one.node.hostname,
    "device": devices.name,
    "devices": lambda one: one.devices,
    "model": lambda one: one.model,
    "precision": lambda one: one.precision,
    "image": lambda one: one.image,
    "vllm": lambda one: one.vllm_version,
    "isl": lambda one: one.load.isl if one.load else None,
    "osl": lambda one: one.load.osl if one.load else None,
    "concurrency": lambda one: one.load.concurrency if one.load else None,
    "requests": lambda one: one.counts.completed if one.counts else None,
    "why_not": lambda one: "; ".join(
        [gate.name for gate in one.gates if not gate.passed] + ([one.failure.reason] if one.failure else [])
    ),
}
"""Column -> what it holds."""


def column(name: str, unit: str) -> str:
    """A metric's column, with its unit: `ttft_ms`, `tput_tok_s_device`."""
    return f"{name}_{re.sub('[^A-Za-z0-9]+', '_', unit)}"


def columns() -> list[str]:
    """Names, in order: what identifies a run, figures of the whole run, and figures of the steady window (`steady_…`)."""
    whole = [column(name, metric.unit) for name, metric in METRICS.items()]
    steady = [f"steady_{column(name, metric.unit)}" for name, metric in METRICS.items() if metric.steady]
    return [*IDENTITY, *whole, *steady]


def row(record: Record) -> list[Cell]:
    """A record's cells; None where it has nothing."""

    def figure(path: str, scale: float) -> float | None:
        found = value(record, path)
        return None if found is None else scale * found

    whole = [figure(metric.whole, metric.scale) for metric in METRICS.values()]
    steady = [figure(metric.steady, metric.scale) for metric in METRICS.values() if metric.steady]
    return [*(cell(record) for cell in IDENTITY.values()), *whole, *steady]


def write_csv(stream: TextIO, records: Sequence[Record]) -> None:
    """The table as CSV; texts that a spreadsheet would run as a formula begin with an apostrophe."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns())
    for record in records:
        writer.writerow([_inert(cell) for cell in row(record)])


def write_parquet(path: Path, records: Sequence[Record]) -> None:
    """The same table as Parquet, with types, where pyarrow is installed.

    Raises:
        HarnessError: USAGE where it is not.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - 100 MB that nothing else here needs
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise HarnessError(
            Exit.USAGE,
            f"Parquet wants pyarrow, and {sys.executable} has none; install it there (-m pip install pyarrow), or use --format csv",
        ) from error
    rows = [row(one) for one in records]
    made = {name: [line[n] for line in rows] for n, name in enumerate(columns())}
    parquet.write_table(pa.table(made), path)


def _inert(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
