"""Many variances that are alike tell about each other: empirical Bayes, as Smyth (Stat. Appl. Genet. Mol. Biol. 3, 2004) moderates them.

Each true variance is taken as drawn from a scaled inverse chi-square with d0 degrees of freedom around s0^2; both come from
the variances' own scatter, on a log scale. The more alike they are, the larger d0, and the more each is drawn to s0^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING

from scipy import special

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 3
"""Variances without which nothing is known of their scatter."""
MOST_STEPS = 50
EXACT = 1e-10
"""Relative step at which a root is one."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Where variances are drawn to, and how hard."""

    variance: float
    df: float
    """Infinite where the variances scatter no more than chance does."""

    def drawn(self, own: float, df: int) -> tuple[float, float]:
        """A variance with its degrees of freedom, moderated."""
        if math.isinf(self.df):
            return self.variance, math.inf
        return (self.df * self.variance + df * own) / (self.df + df), self.df + df


def prior(known: Sequence[tuple[float, int]]) -> Prior | None:
    """From variances with their degrees of freedom; None from too few, or where one is zero."""
    if len(known) < LEAST or any(value <= 0 for value, _ in known):
        return None
    logs = [math.log(value) - float(special.digamma(df / 2)) + math.log(df / 2) for value, df in known]
    excess = variance(logs) - fmean(float(special.polygamma(1, df / 2)) for _, df in known)
    if excess <= 0:
        return Prior(math.exp(fmean(logs)), math.inf)
    half = _inverse_trigamma(excess)
    return Prior(math.exp(fmean(logs) + float(special.digamma(half)) - math.log(half)), 2 * half)


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has a value: Newton's steps on its reciprocal, which is convex and nearly linear (Smyth, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(MOST_STEPS):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < EXACT:
            break
    return x
