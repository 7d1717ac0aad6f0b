"""Many tests at once: which of them are beyond what chance among so many would show.

Three families, each with a share of false words of its own: figures of points, means of jobs, and the mean of all. Metrics
that are one fact (throughput and time per token) are one test, with the smaller p-value, made larger by how little they
agree. The first look is loose, for it only decides what is measured again; the last one uses all runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from utils.results.verdict.evidence import Evidence

FALSE_DISCOVERIES = 0.10
"""Of the first look, by Benjamini and Hochberg, where many stand out."""
FIRST_P = 0.007
"""A figure by itself that is worth a second block, however many others there are."""
FIRST_JOB_P = 0.03
FIRST_ALL_P = 0.04
WORDS = 0.004
"""Share of unchanged changes in which a figure may get a word: the rate of the last look over all figures."""
JOB_WORDS = 0.007
ALL_WORDS = 0.0015
REPEATS_P = 0.04
"""One-sided: the block that confirms shows the same sign by itself."""
JOB_REPEATS_P = 0.10
ALL_REPEATS_P = 0.05

Where = tuple[str, str]
"""A point, a job or `` for all, and a cause."""


def cause_of(metric: str) -> str:
    """What a metric is a view of."""
    return (METRICS[metric].cause if metric in METRICS else "") or metric


def benjamini_hochberg(p: Sequence[float], rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which of many tests stand out, so that the share of false ones among them is at most `rate`; nan is no test."""
    least = cut(p, rate)
    return [value <= least for value in p]


def cut(p: Iterable[float], rate: float) -> float:
    """The largest p-value that is beyond chance; -1 where none is."""
    ordered = sorted(value for value in p if not math.isnan(value))
    found = -1.0
    for rank, value in enumerate(ordered, 1):
        if value <= rate * rank / len(ordered):
            found = value
    return found


def agreement(evidence: Mapping[str, Evidence]) -> dict[str, float]:
    """Cause -> by how much the smallest p-value of its metrics is made larger: from 1, where they say the same, to their number."""
    factors: dict[str, float] = {}
    causes: dict[str, list[str]] = {}
    for metric in evidence:
        causes.setdefault(cause_of(metric), []).append(metric)
    for cause, names in causes.items():
        factors[cause] = 1.0
        for other in names[1:]:
            factors[cause] += math.sqrt(max(0.0, 1 - _correlation(evidence[names[0]], evidence[other]) ** 2))
    return factors


def _correlation(one: Evidence, other: Evidence) -> float:
    pairs = [
        (value, other.noise.cells[where][point])
        for where, cell in one.noise.cells.items()
        if where in other.noise.cells
        for point, value in cell.items()
        if point in other.noise.cells[where]
    ]
    squares = math.sqrt(sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs))
    return sum(a * b for a, b in pairs) / squares if squares and len(pairs) > 1 else 0.0


@dataclass(slots=True)
class Family:
    """P-values by point and cause."""

    alone: dict[Where, float] = field(default_factory=dict)
    beside: dict[Where, float] = field(default_factory=dict)

    @property
    def all(self) -> list[float]:
        """Of every test."""
        return [*self.alone.values(), *self.beside.values()]

    def least(self, where: Where) -> float:
        """The smaller of a place's two."""
        return min(self.alone.get(where, 1.0), self.beside.get(where, 1.0))


def figures(evidence: Mapping[str, Evidence], factors: Mapping[str, float]) -> Family:
    """The family of points: for each cause by itself, and beside the others of its server where these can be seen."""
    found = Family()
    for metric, one in evidence.items():
        cause = cause_of(metric)
        for point, test in one.alone.items():
            where = (point, cause)
            found.alone[where] = min(found.alone.get(where, 1.0), factors[cause] * test.p)
            if point in one.beside_ratio:
                other = one.beside.get(point)
                p = factors[cause] * other.p if other else 1.0
                found.beside[where] = min(found.beside.get(where, 1.0), p)
    return found
