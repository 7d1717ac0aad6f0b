"""What is judged, and what the field publishes: one table each, from a record to a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matrix.rules import Judged
    from utils.node.record import Record, Window


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run."""

    heading: str
    unit: str
    value: Callable[[Window], float | None]
    more_is_better: bool = False
    scale: float = 1.0
    """From the record's unit to the shown one."""


JUDGED: dict[Judged, Metric] = {
    "tput": Metric("throughput", "tok/s/device", lambda w: w.total_tok_per_s_per_device, more_is_better=True),
    "ttft": Metric("TTFT p50", "ms", lambda w: w.ttft_s.p50, scale=1000),
    "tpot": Metric("TPOT p50", "ms", lambda w: w.tpot_s.p50, scale=1000),
}
"""Of the steady window, so that neither the burst at the beginning nor the drain decides."""

WHOLE: dict[str, Metric] = {
    "tput": Metric(
        "tok/s/device", "tok/s/device", lambda w: w.total_tok_per_s_per_device, more_is_better=True
    ),
    "ttft": Metric("TTFT s", "s", lambda w: w.ttft_s.mean),
    "tpot": Metric("TPOT ms", "ms", lambda w: w.tpot_s.mean, scale=1000),
    "e2el": Metric("E2EL s", "s", lambda w: w.e2el_s.mean),
}
"""Means of whole runs, as the field publishes them."""


def judged(record: Record, metric: Judged) -> float | None:
    """A judged figure of a run in the record's unit; None where its steady window supports none."""
    if record.steady is None:
        return None
    value = JUDGED[metric].value(record.steady)
    return value if value is not None and 0 < value < math.inf else None


def whole(records: Sequence[Record]) -> dict[str, float]:
    """Means over runs, in logs, of each published figure, in the shown units; empty without a measured run."""
    windows = [record.whole for record in records if record.whole]
    found = {}
    for name, metric in WHOLE.items():
        values = [value for window in windows if (value := metric.value(window)) and 0 < value < math.inf]
        if values and len(values) == len(windows):
            found[name] = metric.scale * geometric_mean(values)
    return found


def geometric_mean(values: Sequence[float]) -> float:
    """The mean in logs."""
    return math.exp(fmean(math.log(value) for value in values))


def percent(effect: float) -> float:
    """An effect in logs, in percent."""
    return 100 * math.expm1(effect)
