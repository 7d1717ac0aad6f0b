"""What a reader of an entry must know before believing it, each cause once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.metrics import METRICS, value
from utils.results import summary
from utils.results.changelog.changed import changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison

MOST = 6
"""Notes that an entry has; reasons for doubt are never cut."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """The runs of one arm that differ most, beside the change."""

    point: str
    metric: str
    arm: str
    low: float
    high: float
    change: float
    """In percent."""

    @property
    def times(self) -> float:
        return self.high / self.low


def doubts(head: Sequence[Record], base: Sequence[Record], comparison: Comparison | None) -> list[str]:
    """Reasons why figures have no verdict, and arms whose own runs differ more than the change."""
    if comparison is None:
        return []
    same = [] if changed(head, base) else ["no part of the points' keys differs between base and head"]
    first = [*summary.causes(comparison), *_scattered(head, base, comparison), *same]
    more = [*summary.reasons(comparison), *summary.notes(comparison)]
    room = max(0, MOST - len(first))
    left = len(more) - room
    return [*first, *more[:room], *([f"and {left} more notes, in the run's own report"] if left > 0 else [])]


def _scattered(head: Sequence[Record], base: Sequence[Record], comparison: Comparison) -> list[str]:
    worst: dict[str, _Spread] = {}
    for point in comparison.points:
        for name, change in point.whole.items():
            for arm, records in (("base", base), ("head", head)):
                values = _values(records, point.point, name)
                if len(values) > 1:
                    one = _Spread(
                        point.point.split("/")[1], name, arm, min(values), max(values), change.percent
                    )
                    beyond = 100 * (one.times - 1) > max(abs(one.change), METRICS[name].floor or 1.0)
                    known = worst.get(one.point)
                    if beyond and (known is None or (known.metric == name and one.times > known.times)):
                        worst[one.point] = one
    if not worst:
        return []
    one = max(worst.values(), key=lambda spread: spread.times)
    metric = METRICS[one.metric]
    apart = f"{one.times:.1f} times" if one.times >= 2 else f"{100 * (one.times - 1):.1f} %"  # noqa: PLR2004 - from there on people say "times"
    return [
        f"an arm's own runs differ more than the change in {len(worst)} of {len(comparison.points)} points; most: {one.point}, {one.arm} {metric.in_words(one.low)} and {metric.shown(one.high)} ({apart}), change {one.change:+z.1f} %"
    ]


def _values(records: Sequence[Record], point: str, metric: str) -> list[float]:
    """Of an arm's runs of the first block, in the shown unit."""
    path, scale = METRICS[metric].whole, METRICS[metric].scale
    runs = [one for one in records if one.point == point and one.block == 1 and one.status == "measured"]
    return [scale * known for one in runs if (known := value(one, path)) is not None]
