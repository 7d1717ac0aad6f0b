"""What the runs of one block say of their own noise: contrasts in which neither the arms' difference nor a steady drift has a part.

For the order B H H B and its repetitions. A contrast has unit length, so that its square has the variance of one run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import fmean

NOTHING = 1e-9
"""Below it a length is a rounding error."""

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Block:
    """Values of the runs of both arms in one allocation."""

    base: tuple[float, ...]
    head: tuple[float, ...]
    order: tuple[bool, ...] = ()
    """Of each run whether it is the head's, as they were measured; empty for B H H B, repeated."""

    @cached_property
    def effect(self) -> float:
        """In logs, of head over base."""
        return sum(map(math.log, self.head)) / len(self.head) - sum(map(math.log, self.base)) / len(self.base)

    @cached_property
    def scale(self) -> float:
        """Standard errors of the effect for a spread of 1."""
        return math.sqrt(1 / len(self.head) + 1 / len(self.base))

    @property
    def arms(self) -> tuple[bool, ...]:
        """The order of the runs."""
        n = len(self.base)
        if self.order:
            return self.order
        if n == len(self.head) and n % 2 == 0:
            return (False, True, True, False) * (n // 2)
        return (False,) * n + (True,) * len(self.head)

    def noise(self) -> tuple[list[float], float | None]:
        """The free contrasts, and the one that a steady drift moves; nothing where all runs of each arm are equal, as figures from elsewhere are."""
        sides = {False: iter(self.base), True: iter(self.head)}
        logs = [math.log(next(sides[head])) for head in self.arms]
        free, trend = contrasts(self.arms)
        found = [_dot(one, logs) for one in free]
        drift = _dot(trend, logs) if trend else None
        if max(map(abs, [*found, drift or 0.0]), default=0.0) < NOTHING:
            return [], None
        return found, drift

    def within(self) -> tuple[float, float]:
        """Sums of squares around the mean of base and of head."""
        return _scatter(self.base), _scatter(self.head)


def _scatter(values: tuple[float, ...]) -> float:
    logs = [math.log(value) for value in values]
    mean = fmean(logs)
    return sum((one - mean) ** 2 for one in logs)


@lru_cache(maxsize=256)
def contrasts(groups: tuple[int, ...], places: tuple[int, ...] = ()) -> tuple[tuple[Weights, ...], Weights]:
    """An orthonormal basis of what is neither group nor drift, and the drift's own direction (empty where groups make it up).

    Gram and Schmidt; for B H H B the one free contrast is ((r3 - r0) - 3 (r2 - r1)) / sqrt(20).

    Args:
        groups: to which arm, or which key, each run belongs.
        places: of the runs in their block's order; empty for one after the other.
    """
    n = len(groups)
    places = places or tuple(range(n))
    known: list[Weights] = []
    for group in dict.fromkeys(groups):
        _add(known, tuple(float(one == group) for one in groups))
    before = len(known)
    _add(known, tuple(float(place) for place in places))
    trend = known[before] if len(known) > before else ()
    begin = len(known)
    for i in range(n):
        _add(known, tuple(float(i == j) for j in range(n)))
    return tuple(known[begin:]), trend


def _add(known: list[Weights], vector: Weights) -> None:
    for one in known:
        along = _dot(one, vector)
        vector = tuple(v - along * o for v, o in zip(vector, one, strict=True))
    length = math.sqrt(_dot(vector, vector))
    if length > NOTHING:
        known.append(tuple(v / length for v in vector))


def _dot(one: Weights, other: Weights | list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
