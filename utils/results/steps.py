"""Where a series steps: the best partition into level parts, of which every border must be beyond what chance shows.

Optimal partitioning (Jackson et al., IEEE Signal Process. Lett. 12, 2005) finds a step and its return alike, which splitting
in two and two again does not. Single outliers are drawn in first; what remains of noise, and how much a value owes to the one
before, say how sure each border is; borders that are not sure are taken out again, the weakest first. Rounding makes figures
equal, and equal figures are no proof that there is no noise: what it hides counts as noise (Sheppard 1897).
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from utils.results.verdict import student

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_P = 0.01
"""Of a step where there is none, over all the places where a series could have one (Bonferroni)."""
LEAST = 2
"""Values on either side of a step."""
PENALTY = 12.0
"""Variances that a border must save to be looked at at all, besides what grows with the length."""
CLIP = 3.0
"""Standard deviations around its neighbours' median to which a value is drawn."""
WINDOW = 2
"""Neighbours on either side."""
MAD = 1.4826
"""Standard deviation over the median absolute deviation, of a normal distribution."""
LONG = 12
"""Values from which it can be said how much one owes to the one before."""
MOST_OWED = 0.8


def over_time(values: Sequence[float], rate: float = STEP_P, grains: Sequence[float] = ()) -> list[list[int]]:
    """Where a series steps, as it was when it had four values, five, and so on to all: positions of the first value after each step.

    Args:
        values: in order of time; what is known of their noise now is used throughout.
        rate: how often a series without a step may have one.
        grains: of each value the width that rounding gave it, 0 for none; empty where no value was rounded.
    """
    n = len(values)
    if n < 2 * LEAST:
        return []
    drawn = _drawn_in(values)
    scale = _scale(drawn)
    if not scale:
        return []
    begins = _partition([value / scale for value in drawn])
    hidden = [grain * grain / 12 for grain in grains or [0.0] * n]
    found = []
    for end in range(2 * LEAST, n + 1):
        cuts, at = list[int](), end
        while at := begins[at]:
            cuts.insert(0, at)
        found.append(_sure(drawn[:end], cuts, rate, fmean(hidden[:end])))
    return found


def _drawn_in(values: Sequence[float]) -> list[float]:
    """A value far from its neighbours' median is one bad run, and no level."""
    middles = [median(values[max(0, i - WINDOW) : i + WINDOW + 1]) for i in range(len(values))]
    most = CLIP * MAD * median(abs(value - middle) for value, middle in zip(values, middles, strict=True))
    if not most:
        return list(values)
    return [
        max(middle - most, min(middle + most, value)) for value, middle in zip(values, middles, strict=True)
    ]


def _scale(values: Sequence[float]) -> float:
    """A value's standard deviation, from differences of neighbours, which steps hardly move."""
    moves = [abs(b - a) for a, b in pairwise(values)]
    return MAD * median(moves) / math.sqrt(2) or 1e-3 * (max(values) - min(values))


def _partition(values: Sequence[float]) -> list[int]:
    """Of every length of the series, where the last part of its best partition begins."""
    n = len(values)
    sums, squares = [0.0], [0.0]
    for value in values:
        sums.append(sums[-1] + value)
        squares.append(squares[-1] + value * value)
    penalty = PENALTY + 2 * math.log(n)
    best, begins = [-penalty] + [math.inf] * n, [0] * (n + 1)
    candidates = [0]
    for end in range(LEAST, n + 1):
        costs = []
        for begin in candidates:
            total = sums[end] - sums[begin]
            costs.append(best[begin] + squares[end] - squares[begin] - total * total / (end - begin))
        least = min(costs)
        best[end], begins[end] = least + penalty, candidates[costs.index(least)]
        # what is worse by more than a border now stays so (Killick et al. 2012)
        candidates = [b for b, cost in zip(candidates, costs, strict=True) if cost <= least + penalty]
        if end - LEAST + 1 >= LEAST:
            candidates.append(end - LEAST + 1)
    return begins


def _sure(values: Sequence[float], cuts: list[int], rate: float, hidden: float) -> list[int]:
    """The borders that stay when the weakest is taken out until all are sure."""
    while cuts:
        weakest, p = _weakest(values, cuts, hidden)
        if p * len(values) <= rate:
            return cuts
        cuts = [cut for cut in cuts if cut != weakest]
    return cuts


def _weakest(values: Sequence[float], cuts: Sequence[int], hidden: float) -> tuple[int, float]:
    """The least sure border, and how often chance alone makes one like it at one place; a variance is hidden by rounding."""
    bounds = [0, *cuts, len(values)]
    parts = [values[a:b] for a, b in pairwise(bounds)]
    means = [fmean(part) for part in parts]
    rest = [value - mean for part, mean in zip(parts, means, strict=True) for value in part]
    df = len(values) - len(parts)
    variance = sum(one * one for one in rest) / df * _owed(rest, len(parts)) if df else 0.0
    variance += hidden
    found = (cuts[0], -1.0)
    for i, cut in enumerate(cuts):
        error = math.sqrt(variance * (1 / len(parts[i]) + 1 / len(parts[i + 1])))
        p = student.two_sided((means[i + 1] - means[i]) / error, df) if error else 0.0
        if p > found[1]:
            found = (cut, p)
    return found


def _owed(rest: Sequence[float], parts: int) -> float:
    """By how much the variance of a mean is larger than independent values would make it."""
    squares = sum(one * one for one in rest)
    if len(rest) < LONG or not squares:
        return 1.0
    r = sum(a * b for a, b in pairwise(rest)) / squares + parts / len(rest)
    r = min(max(r - 1 / math.sqrt(len(rest)), 0.0), MOST_OWED)  # one standard error is no sign of anything
    return (1 + r) / (1 - r)
