"""The first look: what one block makes worth a second one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE
from utils.results.verdict import families
from utils.results.verdict.families import cause_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from utils.results.verdict.evidence import Effect, Evidence
    from utils.results.verdict.sample import Sample

NEAR = 0.5
"""Share of the floor from which an effect is worth a second block."""
ALL_FLOOR = 0.005
"""Of the mean over all points: nobody acts on less."""
LEAST_POINTS = 2
"""Points of a job, or jobs, of which a mean says more than they do themselves."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the first block makes stand out."""

    figures: frozenset[families.Where]
    jobs: frozenset[families.Where]
    all: bool
    strict: frozenset[families.Where]
    """Figures that stand out among all, which they need where nothing confirms them."""
    small: frozenset[families.Where]
    """Figures that are beyond the last look's bound already, and so far below their floor that nothing is measured again for them."""


def first_look(
    fit: Mapping[tuple[str, str], Sample], first: Mapping[str, Evidence], factors: Mapping[str, float]
) -> Look:
    """Figures, jobs, and whether all of it."""
    family = families.figures(first, factors)
    least = families.cut(family.all, families.FALSE_DISCOVERIES)
    sure = families.cut(family.alone.values(), families.WORDS)
    strict = families.cut(family.alone.values(), families.FALSE_DISCOVERIES)
    large = {
        (point, cause_of(metric))
        for (point, metric), one in fit.items()
        if size(one.first.effect) >= NEAR * one.floor
    }
    places = [where for where in family.alone if where in large]
    jobs: dict[families.Where, float] = {}
    for metric, one in first.items():
        for job, points in jobs_of(one).items():
            test = one.mean(points)
            if len(points) >= LEAST_POINTS and test:
                p = factors[cause_of(metric)] * test.p
                enough = size(test.effect) >= NEAR * floor_of(fit, points, metric)
                where = (job, cause_of(metric))
                jobs[where] = min(jobs.get(where, 1.0), p if enough else 1.0)
    test = of_all(first)
    return Look(
        frozenset(where for where in places if family.least(where) <= max(families.FIRST_P, least)),
        frozenset(where for where, p in jobs.items() if p <= families.FIRST_JOB_P),
        test is not None and test.p <= families.FIRST_ALL_P and size(test.effect) >= NEAR * ALL_FLOOR,
        frozenset(where for where in places if family.alone[where] <= strict),
        frozenset(where for where, p in family.alone.items() if where not in large and p <= sure),
    )


def jobs_of(one: Evidence) -> dict[str, list[str]]:
    """Job -> its points."""
    found: dict[str, list[str]] = {}
    for point in one.alone:
        found.setdefault(one.figures[point].job, []).append(point)
    return found


def of_all(found: Mapping[str, Evidence], points: Collection[str] | None = None) -> Effect | None:
    """The mean of the headline's metric, where there are jobs enough for one."""
    one = found.get(HEADLINE)
    if one is None:
        return None
    points = list(one.alone) if points is None else points
    if len({one.figures[point].job for point in points}) < LEAST_POINTS:
        return None
    return one.mean(points)


def floor_of(fit: Mapping[tuple[str, str], Sample], points: Collection[str], metric: str) -> float:
    """The least that any of the points asks for."""
    return min(fit[point, metric].floor for point in points)


def size(effect: float) -> float:
    """As a share."""
    return abs(math.expm1(effect))
