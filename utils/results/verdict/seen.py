"""How large a change of one point must be to get its word four times in five: by the whole rule, both looks and all that is tested beside.

Solved over a fixed set of evenly spread draws (Halton 1960) of both blocks' noise, of what the other points say, and of how
well noise itself is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from utils.results.verdict import families, student
from utils.results.verdict.evidence import LEANS
from utils.results.verdict.first_look import NEAR

POWER = 0.75
"""Of the draws. What is solved so is found in 79 to 87 % of planted changes (`benchmarks/verdict_worlds.py`): other looks at the same point
help, and 0.80 of the draws came out at 84 to 89 %."""
DRAWS = 400
BASES = (2, 3, 5, 7, 11, 13)
LARGEST = 60.0
"""Standard errors of a block beyond which nothing is said."""
FLOOR_STEP, DF_STEP, RATIO_STEP = 1.12, 1.15, 0.04


@dataclass(frozen=True, slots=True)
class Rule:
    """What a change of one point must pass, in standard errors of one block's effect."""

    first_p: float
    last_p: float
    first_df: float
    last_df: float
    beside_df: float
    own_df: float
    """Degrees of freedom of how noise comes out from one change to the next: many, where the ledger says most of it."""
    ratio: float
    """Standard deviation of what is left beside the other points, over that of the point itself; 1 where there are none."""
    floor: float
    """In standard errors of one block's effect."""
    confirms: bool = True


def smallest(rule: Rule) -> float:
    """The change in standard errors of one block's effect; nan where even a very large one is not seen often enough."""
    return _smallest(
        Rule(
            rule.first_p,
            rule.last_p,
            _stepped(rule.first_df, DF_STEP),
            _stepped(rule.last_df, DF_STEP),
            _stepped(rule.beside_df, DF_STEP),
            _stepped(rule.own_df, DF_STEP),
            min(1.0, RATIO_STEP * round(rule.ratio / RATIO_STEP)),
            _stepped(rule.floor, FLOOR_STEP) if rule.floor else 0.0,
            rule.confirms,
        )
    )


def _stepped(value: float, step: float) -> float:
    return math.exp(math.log(step) * round(math.log(min(max(value, 1e-3), 1e4)) / math.log(step)))


@lru_cache(maxsize=4096)
def _smallest(rule: Rule) -> float:
    crossings = _Crossings(rule)
    low, high = 0.0, 4.0
    while crossings.share(high) < POWER:
        low, high = high, 2 * high
        if low > LARGEST:
            return math.nan
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if crossings.share(middle) < POWER else (low, middle)
    return high


class _Crossings:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.first = student.quantile(1 - rule.first_p / 2, rule.first_df)
        self.last = student.quantile(1 - rule.last_p / 2, rule.last_df)
        self.repeat = student.quantile(1 - families.REPEATS_P, rule.last_df)
        self.first_beside = student.quantile(1 - rule.first_p / 2, rule.beside_df)
        self.last_beside = student.quantile(1 - rule.last_p / 2, rule.beside_df)
        self.draws = [
            (*one[:4], _chi(one[4], rule.own_df), _chi(one[5], rule.own_df)) for one in _spread_out()
        ]

    def share(self, change: float) -> float:
        """Of the draws in which a change gets its word."""
        return sum(self._passes(change, one) for one in self.draws) / DRAWS

    def _passes(self, change: float, draw: tuple[float, ...]) -> bool:
        """Whether one draw gets its word; `known` and `now` are noise as it was estimated when X was said, and in this draw."""
        rule, (z1, z2, y1, y2, known, now) = self.rule, draw
        change *= known
        d1, d2 = change + z1, change + z2
        floor = rule.floor * known
        if d1 < NEAR * floor or (d1 < self.first * now and rule.ratio >= 1):
            return False
        if not rule.confirms:
            return d1 >= max(self.first * now, floor)
        both = (d1 + d2) / 2
        if both < floor:
            return False
        root = math.sqrt(2)
        if d1 >= self.first * now and both * root >= self.last * now and d2 >= self.repeat * now:
            return True
        r = rule.ratio
        if r >= 1 or d1 < LEANS * now or d2 < LEANS * now:
            return False
        rest = r * math.sqrt(1 - r * r)
        r1, r2 = (change + r * r * z1 + rest * y1) / r, (change + r * r * z2 + rest * y2) / r
        first = r1 >= self.first_beside * now or d1 >= self.first * now
        return first and (r1 + r2) / root >= self.last_beside * now and r2 >= self.repeat * now


@lru_cache(maxsize=1)
def _spread_out() -> list[tuple[float, ...]]:
    """Halton's points, as standard normal values."""
    normal = NormalDist()
    return [tuple(normal.inv_cdf(_radical(i + 1, base)) for base in BASES) for i in range(DRAWS)]


def _radical(i: int, base: int) -> float:
    found, part = 0.0, 1.0 / base
    while i:
        i, digit = divmod(i, base)
        found += digit * part
        part /= base
    return found


def _chi(z: float, df: float) -> float:
    """The root of a mean of so many squares (Wilson and Hilferty 1931)."""
    a = 2 / (9 * df)
    root = math.sqrt(max(1 - a + z * math.sqrt(a), 0.05))
    return root * root * root
