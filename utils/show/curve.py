"""A small curve for a terminal: how a figure goes with concurrency."""

from __future__ import annotations

import re
from statistics import fmean
from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE, JUDGED, METRICS, figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record

STEPS = "▁▂▃▄▅▆▇█"
LEAST = 3
"""Concurrencies that a curve needs to say more than the table above it."""
SHOWN = (HEADLINE, next(name for name in reversed(JUDGED) if name != HEADLINE))


def spark(values: Sequence[float]) -> str:
    """One block a value, from the lowest to the highest; flat ones are all low."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(STEPS[round((len(STEPS) - 1) * (value - low) / span)] for value in values)


def curves(records: Sequence[Record]) -> list[str]:
    """A line a group of points that differ in concurrency alone, and arm; at most 80 columns each."""
    groups: dict[tuple[str, str], dict[int, list[Record]]] = {}
    for one in records:
        match = re.fullmatch(r"(.+)-c(\d+)", one.point)
        if match and one.status == "measured" and one.block == 1:
            groups.setdefault((match[1], one.arm), {}).setdefault(int(match[2]), []).append(one)
    several = len({arm for _, arm in groups}) > 1
    lines = []
    for (point, arm), by_concurrency in groups.items():
        if len(by_concurrency) < LEAST:
            continue
        ordered = sorted(by_concurrency)
        name = point.split("/")[-1] + (f" {arm}" if several else "")
        lines.append(f"{name}, c{ordered[0]} to c{ordered[-1]}:")
        for metric in SHOWN:
            values = [_mean(by_concurrency[c], metric) for c in ordered]
            known = [value for value in values if value is not None]
            if len(known) == len(ordered):
                lines.append(
                    f"  {METRICS[metric].heading:<14}{METRICS[metric].shown(known[0]):>9} {spark(known)} {METRICS[metric].shown(known[-1])}"
                )
    return lines


def _mean(runs: Sequence[Record], metric: str) -> float | None:
    values = [known[metric] for one in runs if metric in (known := figures(one))]
    return fmean(values) if values else None
