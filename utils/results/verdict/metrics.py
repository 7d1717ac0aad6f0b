"""From records to the figures of the metric table."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from matrix.metrics import JUDGED, METRICS, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record


def judged(record: Record, metric: str) -> float | None:
    """A figure of a run whose noise is known, in the record's unit: of the steady window where it is judged; None where there is none."""
    return value(record, METRICS[metric].steady or METRICS[metric].whole)


def whole(records: Sequence[Record]) -> dict[str, float]:
    """Means over runs, in logs, of each published figure, in the shown units; empty without a measured run."""
    runs = [record for record in records if record.whole]
    found = {}
    for name, metric in METRICS.items():
        values = [one for run in runs if (one := value(run, metric.whole)) is not None]
        if values and len(values) == len(runs):
            found[name] = metric.scale * geometric_mean(values)
    return found


def steady(records: Sequence[Record]) -> dict[str, float]:
    """The same of each judged figure, over the steady windows."""
    found = {}
    for name in JUDGED:
        values = [one for run in records if (one := judged(run, name)) is not None]
        if values and len(values) == len(records):
            found[name] = METRICS[name].scale * geometric_mean(values)
    return found


def geometric_mean(values: Sequence[float]) -> float:
    """The mean in logs."""
    return math.exp(fmean(math.log(value) for value in values))


def percent(effect: float) -> float:
    """An effect in logs, in percent."""
    return 100 * math.expm1(effect)
