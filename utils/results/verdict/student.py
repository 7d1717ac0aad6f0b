"""Student's t and Fisher's F, digamma and trigamma, from `math` alone: a scientific library takes longer to import than all of a comparison.

The incomplete beta function is a continued fraction (Abramowitz and Stegun 26.5.8, by Lentz's method), good to 1e-12.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

MOST_STEPS = 400
EXACT = 1e-12
TINY = 1e-300
FINE_BELOW = 20
"""Degrees of freedom below which tenths of them matter."""
NORMAL_FROM = 1e7
"""Degrees of freedom from which Student's distribution is the normal one to all digits that matter."""
_ASYMPTOTIC_FROM = 8.0
_NORMAL = NormalDist()


def beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or TINY)
    fraction = d
    for m in range(1, MOST_STEPS):
        k = a + 2 * m
        term = m * (b - m) * x / ((k - 1) * k)
        d, c = 1 / (1 + term * d or TINY), 1 + term / c or TINY
        fraction *= c * d
        term = -(a + m) * (a + b + m) * x / (k * (k + 1))
        d, c = 1 / (1 + term * d or TINY), 1 + term / c or TINY
        last = c * d
        fraction *= last
        if -EXACT < last - 1 < EXACT:
            break
    return front * fraction / a


def upper(t: float, df: float) -> float:
    """The share of Student's distribution above t."""
    if df >= NORMAL_FROM:
        return math.erfc(t / math.sqrt(2)) / 2
    tail = beta_share(df / (df + t * t), df / 2, 0.5) / 2
    return tail if t >= 0 else 1 - tail


def two_sided(t: float, df: float) -> float:
    """The share of Student's distribution that is as far from zero as t, or farther."""
    return 2 * upper(abs(t), df)


def quantile(share: float, df: float) -> float:
    """Below which that share of Student's distribution lies."""
    return _quantile(share, round(df, 1 if df > FINE_BELOW else 3))


@lru_cache(maxsize=4096)
def _quantile(share: float, df: float) -> float:
    if share < 0.5:  # noqa: PLR2004 - a half
        return -_quantile(1 - share, df)
    if df >= NORMAL_FROM:
        return _NORMAL.inv_cdf(share)
    low, high = 0.0, 1.0
    while upper(high, df) > 1 - share:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if upper(middle, df) > 1 - share else (low, middle)
        if high - low < 1e-11 * high:
            break
    return (low + high) / 2


def beyond(ratio: float, df1: float, df2: float) -> float:
    """The share of Fisher's distribution above a ratio of variances."""
    if ratio <= 0:
        return 1.0
    return beta_share(df2 / (df2 + df1 * ratio), df2 / 2, df1 / 2)


@lru_cache(maxsize=1024)
def ratio_beyond(p: float, df1: float, df2: float) -> float:
    """The ratio of variances above which that share of Fisher's distribution lies."""
    low, high = 0.0, 1.0
    while beyond(high, df1, df2) > p:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle, df1, df2) > p else (low, middle)
    return high


def digamma(x: float) -> float:
    """The derivative of log gamma: by its recurrence to where its series is exact."""
    found = 0.0
    while x < _ASYMPTOTIC_FROM:
        found -= 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    return found + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Its derivative."""
    found = 0.0
    while x < _ASYMPTOTIC_FROM:
        found += 1 / (x * x)
        x += 1
    y = 1 / (x * x)
    series = 1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * (5 / 66 - y * 691 / 2730))))
    return found + 1 / x + y / 2 + series * y / x


def tetragamma(x: float) -> float:
    """The derivative of trigamma."""
    found = 0.0
    while x < _ASYMPTOTIC_FROM:
        found -= 2 / (x * x * x)
        x += 1
    y = 1 / (x * x)
    series = y * (0.5 - y * (1 / 6 - y * (1 / 6 - y * (3 / 10 - y * (5 / 6 - y * 691 / 210)))))
    return found - y - y / x - series * y
