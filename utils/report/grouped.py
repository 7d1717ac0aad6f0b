"""Records as points: of each recipe's point and arm its runs, their means, and how far they reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from scipy import special

from matrix.metrics import METRICS, value
from matrix.tree import MODELS
from utils.node import devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from utils.node.record import Record

SPEED = "speed"
"""tok/s/user: what one user sees, 1000 / TPOT in ms."""
_ENOUGH = 3
"""Runs from which on an interval says more than their range."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over runs in the shown unit, and how far it may be off."""

    mean: float
    low: float
    high: float
    """A 95 % interval (Student's t, in logs) of three runs or more; the range of two; of one run the figure itself."""
    runs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of one arm."""

    number: int
    point: str
    arm: str
    commit: str
    records: tuple[Record, ...]
    folders: tuple[Path, ...]
    figures: dict[str, Figure]

    @property
    def name(self) -> str:
        """Of the point, without its recipe."""
        return self.point.split("/", 1)[-1]

    @property
    def recipe(self) -> str:
        """Whose point it is; a record of another recipe under this name says so."""
        return self.records[0].recipe or self.point.split("/")[0]

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return bool(self.figures)

    @property
    def concurrency(self) -> int | None:
        """Of the load; None where it never came to one."""
        load = self.records[0].load
        workload = self.records[0].parts.get("workload", {})
        return load.concurrency if load else workload.get("concurrency")

    @property
    def model(self) -> str:
        """What it serves; of a model that the tree carries its name alone."""
        return self.records[0].model.removeprefix(f"{MODELS}/")

    @property
    def lengths(self) -> str:
        """Input and output tokens of a request, such as `512 in, 256 out`."""
        load, workload = self.records[0].load, self.records[0].parts.get("workload", {})
        isl, osl = (load.isl, load.osl) if load else (workload.get("isl"), workload.get("osl"))
        return f"{isl} in, {osl} out" if isl and osl else "unknown lengths"

    @property
    def device(self) -> str:
        """What it ran on."""
        return devices.name(self.records[0])


def points(placed: Iterable[tuple[Record, Path]]) -> list[Point]:
    """Points in the order of their records; what only confirmed a flag is left out."""
    groups: dict[tuple[str, str, str, str], list[tuple[Record, Path]]] = {}
    for record, folder in placed:
        if record.block == 1:
            key = (record.point, record.arm, record.key, record.provenance.tree_commit)
            groups.setdefault(key, []).append((record, folder))
    return [
        Point(
            number=number,
            point=point,
            arm=arm,
            commit=commit,
            records=tuple(one for one, _ in runs),
            folders=tuple(folder for _, folder in runs),
            figures=_figures([one for one, _ in runs if one.status == "measured"]),
        )
        for number, ((point, arm, _, commit), runs) in enumerate(groups.items(), 1)
    ]


def _figures(runs: Sequence[Record]) -> dict[str, Figure]:
    found = {}
    for name, metric in METRICS.items():
        values = [metric.scale * known for one in runs if (known := value(one, metric.whole)) is not None]
        if values:
            found[name] = figure(values)
    if "tpot" in found:
        found[SPEED] = figure([1000 / one for one in found["tpot"].runs])
    return found


def figure(values: Sequence[float]) -> Figure:
    """Of one run or more, none of them zero."""
    logs = [math.log(one) for one in values]
    mean = fmean(logs)
    low, high = min(logs), max(logs)
    if len(logs) >= _ENOUGH:
        half = float(special.stdtrit(len(logs) - 1, 0.975)) * stdev(logs) / math.sqrt(len(logs))
        low, high = mean - half, mean + half
    return Figure(math.exp(mean), math.exp(low), math.exp(high), tuple(values))
