"""Many variances that are alike tell about each other: empirical Bayes, as Smyth (Stat. Appl. Genet. Mol. Biol. 3, 2004) moderates them.

Each true variance is taken as drawn from a scaled inverse chi-square with d0 degrees of freedom around s0^2; both come from
the variances' own scatter, on a log scale. The more alike they are, the larger d0, and the more each is drawn to s0^2. A
variance that nobody has seen yet has d0 degrees of freedom and no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING

from utils.results.verdict.student import digamma, tetragamma, trigamma

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 3
"""Variances without which nothing is known of their scatter."""
MOST_STEPS = 50
EXACT = 1e-10
"""Relative step at which a root is one."""
USUAL = 0.25
"""Variance of log variances (0.5: standard deviations that differ by a quarter) where nothing is known."""
MOST_EXCESS = 2.0
CARE = 0.75
"""Standard errors by which variances are taken to scatter more than they seem to."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Where variances are drawn to, and how hard."""

    variance: float
    df: float
    """Infinite where the variances scatter no more than chance does."""

    def drawn(self, own: float, df: float) -> tuple[float, float]:
        """A variance with its degrees of freedom, moderated."""
        return drawn(self.variance, self.df, own, df)


def drawn(common: float, weight: float, own: float, df: float) -> tuple[float, float]:
    """A variance of so many degrees of freedom drawn to a common one of so much weight."""
    if math.isinf(weight):
        return common, math.inf
    return (weight * common + df * own) / (weight + df), weight + df


def prior(known: Sequence[tuple[float, float]]) -> Prior | None:
    """From variances with their degrees of freedom; None from too few, or where one is zero."""
    if len(known) < LEAST or any(value <= 0 for value, _ in known):
        return None
    logs = _logs(known)
    excess = variance(logs) - fmean(trigamma(df / 2) for _, df in known)
    if excess <= 0:
        return Prior(math.exp(fmean(logs)), math.inf)
    half = _inverse_trigamma(excess)
    return Prior(math.exp(fmean(logs) + digamma(half) - math.log(half)), 2 * half)


def scatter_of(known: Sequence[tuple[float, float]]) -> float:
    """d0 with care: as small as the scatter may well make it, for points that are taken as alike and are not get false words.

    Three quarters of a standard error are added to the scatter, and what is usual counts like two more variances.
    """
    known = [(value, df) for value, df in known if value > 0 and df > 0]
    n = len(known)
    excess = USUAL
    if n >= LEAST:
        logs = _logs(known)
        chance = fmean(trigamma(df / 2) for _, df in known)
        seen = variance(logs)
        guarded = max(seen - chance, 0.0) + (chance + max(seen - chance, 0.0)) * math.sqrt(2 / (n - 1)) * CARE
        excess = (guarded * (n - 1) + 2 * min(USUAL, guarded)) / (n + 1)
    return 2 * _inverse_trigamma(min(excess, MOST_EXCESS))


def _logs(known: Sequence[tuple[float, float]]) -> list[float]:
    return [math.log(value) - digamma(df / 2) + math.log(df / 2) for value, df in known]


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has a value: Newton's steps on its reciprocal, which is convex and nearly linear (Smyth, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(MOST_STEPS):
        now = trigamma(x)
        step = now * (1 - now / value) / tetragamma(x)
        x += step
        if -step / x < EXACT:
            break
    return x
