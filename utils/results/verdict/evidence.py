"""What runs say so far, as tests: each figure by itself, each beside the other points of its server, each job's mean, and the mean of all.

Built twice: from the first block alone, which decides what is measured again, and from both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING

from utils.results.verdict import noise, shared_luck, student

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from utils.results.verdict.contrasts import Block
    from utils.results.verdict.noise import Field, Figure

QUIET = 2.2
"""Standard errors within which the others of a job are over all blocks, where a point is seen beside them."""
LEANS = 1.0
"""Standard errors by which the point itself leans to the same side, in each block."""
MEAN_DOUBT, MEAN_SHARE = 2.0, 0.8
"""A job's mean is taken to share luck as if so many more cells had shown so much."""
RELATIVE_DF = 8.0


@dataclass(frozen=True)
class Effect:
    """One effect with its error."""

    effect: float
    """In logs, of head over base, over all blocks that are looked at."""
    error: float
    df: float
    last: float
    """Of the last block alone, in its own standard errors."""

    @property
    def t(self) -> float:
        """In standard errors."""
        if self.error:
            return self.effect / self.error
        return math.copysign(math.inf, self.effect) if self.effect else 0.0

    @cached_property
    def p(self) -> float:
        """Two-sided."""
        return student.two_sided(self.t, self.df) if math.isfinite(self.t) else 0.0

    def half_width(self, share: float = 0.95) -> float:
        """Of the interval that holds for one such test in so many."""
        return student.quantile((1 + share) / 2, self.df) * self.error


@dataclass(slots=True)
class Evidence:
    """All tests of one metric."""

    noise: Field
    alone: dict[str, Effect] = field(default_factory=dict)
    """Point -> its own."""
    beside: dict[str, Effect] = field(default_factory=dict)
    """Point -> beside the other points of its server, where these are quiet."""
    beside_ratio: dict[str, float] = field(default_factory=dict)
    """Point -> standard deviation of what is left of it beside the others, over its own."""
    beside_df: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    jobs: int = 0
    mean_level: tuple[float, float] = (1.0, 0.0)
    """Mean square of jobs' means over what is expected, with its degrees of freedom."""

    def mean(self, points: Collection[str]) -> Effect | None:
        """The mean effect of points; jobs are independent, points of one job share their server."""
        jobs: dict[str, list[str]] = {}
        for point in points:
            if point in self.alone:
                jobs.setdefault(self.figures[point].job, []).append(point)
        if not jobs:
            return None
        total = sum(map(len, jobs.values()))
        level, df = self.mean_level
        variance = last_variance = last = 0.0
        for names in jobs.values():
            own = _variance_of_mean([self.noise.points[name].sd for name in names], self.noise.common)
            blocks = [self.figures[name].blocks for name in names]
            scale = fmean(scale_of(one) for one in blocks)
            variance += len(names) ** 2 * own * level * scale**2
            last_variance += len(names) ** 2 * own * level * fmean(one[-1].scale for one in blocks) ** 2
            last += sum(one[-1].effect for one in blocks)
        effect = sum(self.alone[name].effect for names in jobs.values() for name in names) / total
        error, last_error = math.sqrt(variance) / total, math.sqrt(last_variance) / total
        return Effect(effect, error, df, last / total / last_error if last_error else math.inf)


def scale_of(blocks: Sequence[Block]) -> float:
    """Standard errors of the effect of all blocks for a spread of 1."""
    return 1 / math.sqrt(sum(1 / one.scale**2 for one in blocks))


def effect_of(blocks: Sequence[Block]) -> float:
    """Of all blocks, each by its weight."""
    weights = [1 / one.scale**2 for one in blocks]
    return sum(w * one.effect for w, one in zip(weights, blocks, strict=True)) / sum(weights)


def _variance_of_mean(sds: Sequence[float], common: shared_luck.Share) -> float:
    """Of the mean over points of one server start."""
    share = (common.cells * common.value + MEAN_DOUBT * MEAN_SHARE) / (common.cells + MEAN_DOUBT)
    k = len(sds)
    return fmean(sd * sd for sd in sds) * (share + (1 - share) / k)


def of(figures: Sequence[Figure]) -> Evidence:
    """Everything that one metric's figures say."""
    found = Evidence(noise.of(figures), figures={one.point: one for one in figures})
    known = [one for one in figures if one.point in found.noise.points]
    for one in known:
        mine = found.noise.points[one.point]
        last = one.blocks[-1]
        found.alone[one.point] = Effect(
            effect_of(one.blocks),
            mine.sd * scale_of(one.blocks),
            mine.df,
            last.effect / (mine.sd * last.scale) if mine.sd else math.copysign(math.inf, last.effect),
        )
    jobs = shared_luck.by_job({one.point: one.job for one in known})
    found.jobs = len(jobs)
    _level_of_means(found, jobs)
    _beside(found, jobs)
    return found


def _level_of_means(found: Evidence, jobs: Mapping[str, Sequence[str]]) -> None:
    """How far the means of jobs scatter as the points' noise and their shared luck say."""
    ratios = []
    for (job, _, _), cell in found.noise.cells.items():
        names = [name for name in cell if name in found.noise.points and name in jobs.get(job, ())]
        if names:
            expected = _variance_of_mean([found.noise.points[name].sd for name in names], found.noise.common)
            ratios.append(fmean(cell[name] for name in names) ** 2 / expected if expected else 1.0)
    trust = min((one.df for one in found.noise.points.values()), default=0.0)
    trust = min(trust, RELATIVE_DF if found.noise.common.cells >= RELATIVE_DF else RELATIVE_DF / 2)
    df = trust + len(ratios)
    found.mean_level = ((trust + sum(ratios)) / df if df else 1.0, df)


def _beside(found: Evidence, jobs: Mapping[str, Sequence[str]]) -> None:
    common = found.noise.common
    plain: dict[str, tuple[float, float, float]] = {}
    for names in jobs.values():
        if len(names) >= shared_luck.LEAST:
            plain |= _models(names, found.noise, common.value)
    squares = []
    counts = []
    for cell in found.noise.cells.values():
        inside = {name: value for name, value in cell.items() if name in plain}
        if len(inside) >= shared_luck.LEAST:
            others = shared_luck.medians_without(inside)
            squares += [(v - plain[n][0] * others[n]) ** 2 / plain[n][1] for n, v in inside.items()]
            counts.append(len(inside))
    df = shared_luck.effective(counts, 0.0)
    level = (RELATIVE_DF + fmean(squares) * df) / (RELATIVE_DF + df) if squares else 1.0
    for names in jobs.values():
        if names[0] in plain:
            _relative(found, names, plain, level, RELATIVE_DF + df)


def _models(names: Sequence[str], known: Field, share: float) -> dict[str, tuple[float, float, float]]:
    """Point -> how much of the others' median is taken off, the variance that is left of a run, and the median's own."""
    sds = [known.points[name].sd for name in names]
    mean = fmean(sd * sd for sd in sds)
    shared = share * fmean(sds) ** 2
    made = {}
    for name, sd in zip(names, sds, strict=True):
        rest = max((mean * len(sds) - sd * sd) / (len(sds) - 1) - shared, 0.05 * mean)
        median = shared + shared_luck.of_median(len(names) - 1) * rest
        mine = min(shared, 0.9 * sd * sd)
        weight = mine / median if median else 0.0
        made[name] = (weight, max(sd * sd - weight * mine, 0.05 * sd * sd), median)
    return made


def _relative(
    found: Evidence,
    names: Sequence[str],
    plain: Mapping[str, tuple[float, float, float]],
    level: float,
    level_df: float,
) -> None:
    """Each point of a job beside the others, where these are quiet and the point itself leans the same way in every block."""
    blocks = min(len(found.figures[name].blocks) for name in names)
    medians = [
        shared_luck.medians_without({name: found.figures[name].blocks[b].effect for name in names})
        for b in range(blocks)
    ]
    for name in names:
        one, (weight, variance, median) = found.figures[name], plain[name]
        sd = math.sqrt(variance * level)
        mine = found.noise.points[name]
        df = 1 / (1 / mine.point_df + 1 / level_df)
        found.beside_ratio[name] = sd / mine.sd if mine.sd else 1.0
        found.beside_df[name] = df
        if not sd or len(one.blocks) != blocks:
            continue
        weights = [1 / block.scale**2 for block in one.blocks]
        total = sum(weights)
        around = sum(w * others[name] for w, others in zip(weights, medians, strict=True)) / total
        left, fits = [], abs(around) < QUIET * math.sqrt(median / total)
        for block, others in zip(one.blocks, medians, strict=True):
            rest = block.effect - weight * others[name]
            left.append(rest)
            fits &= math.copysign(1, rest) * block.effect > LEANS * mine.sd * block.scale
        if fits:
            effect = sum(w * r for w, r in zip(weights, left, strict=True)) / total
            last = left[-1] / (sd * one.blocks[-1].scale)
            found.beside[name] = Effect(effect, sd * scale_of(one.blocks), df, last)
