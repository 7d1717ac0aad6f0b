"""The luck that the points of one server share: how large it is, and what the others of a job say of it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FEW = 2.0
"""Cells of doubt that an estimate is drawn toward zero by."""
MOST = 0.95
LEDGER_MOST = 60.0
"""Cells that a ledger's share counts for at most."""
MEDIANS = (1.0, 1.0, 0.5, 0.449, 0.298, 0.287, 0.215, 0.210)
"""Variance of the median of n standard normal values, by n; beyond, pi / 2n."""
LEAST = 3
"""Points of a job from which what one does beside the others can be seen."""


@dataclass(frozen=True, slots=True)
class Share:
    """Of the variance of one run, what all points of its server have in common."""

    value: float
    cells: float
    """Server pairs with several points behind it."""

    @property
    def high(self) -> float:
        """As large as it may well be."""
        return min(MOST, self.value + 1 / math.sqrt(self.cells + 4))


@dataclass(slots=True)
class Products:
    """Products of what points of one server did, summed over servers."""

    product: float = 0.0
    square: float = 0.0
    cells: int = 0

    def add(self, values: Iterable[float]) -> None:
        """One cell: standardized values of the points of one pair of servers."""
        known = list(values)
        k = len(known)
        if k > 1:
            total, squares = sum(known), sum(one * one for one in known)
            self.product += (total * total - squares) / (k * (k - 1))
            self.square += squares / k
            self.cells += 1


def share(own: Products, ledger: float | None, ledger_cells: float) -> Share:
    """What the change's own runs and the ledger say together, guarded."""
    known = min(ledger_cells, LEDGER_MOST) if ledger is not None else 0.0
    mine = own.product / own.square if own.square else 0.0
    value = (own.cells * mine + known * (ledger or 0.0)) / (own.cells + known + FEW)
    return Share(min(max(value, 0.0), MOST), own.cells + known)


def effective(counts: Sequence[int], common: float) -> float:
    """Degrees of freedom of the mean square over cells of so many points each, whose values correlate by at most `common`."""
    return sum(k / (1 + (k - 1) * max(common * common, 0.1)) for k in counts)


def of_median(n: int) -> float:
    """Variance of the median of n."""
    return MEDIANS[n] if n < len(MEDIANS) else math.pi / (2 * n)


def medians_without(values: Mapping[str, float]) -> dict[str, float]:
    """Of each the median of all others; needs two at least."""
    ordered = sorted(values.values())
    n = len(ordered) - 1
    found = {}
    for name, value in values.items():
        at = bisect_left(ordered, value)
        low, high = (n - 1) // 2, n // 2
        found[name] = (ordered[low + (low >= at)] + ordered[high + (high >= at)]) / 2
    return found


def by_job(places: Mapping[str, str]) -> dict[str, list[str]]:
    """Job -> its points."""
    found: dict[str, list[str]] = defaultdict(list)
    for point, job in places.items():
        found[job].append(point)
    return found
