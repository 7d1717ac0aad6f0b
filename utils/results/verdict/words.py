"""The last look, over all runs, and the words that it allows."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE, percent
from utils.results.verdict import families, student
from utils.results.verdict.evidence import effect_of
from utils.results.verdict.families import cause_of
from utils.results.verdict.first_look import ALL_FLOOR, LEAST_POINTS, floor_of, jobs_of, of_all, size
from utils.results.verdict.sample import Finding, Mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.verdict.evidence import Effect, Evidence
    from utils.results.verdict.families import Where
    from utils.results.verdict.first_look import Look
    from utils.results.verdict.outcome import Word
    from utils.results.verdict.sample import Sample

SAME_FACT_P = 0.01
"""Another metric of a cause that has a word gets it as well, where it shows the same by itself."""
EQUIVALENCE = 0.90
"""The interval whose ends are two one-sided tests at 5 %."""
INTERVAL = 0.95
NORMAL = NormalDist()
BELOW = "smaller than the {floor} % from which it matters"
OUTSIDE = "its own interval leaves 0 out, as that of one figure in twenty does by chance, and there are {n}"


class Words:
    """Decides once, then answers for each figure."""

    def __init__(
        self,
        fit: Mapping[tuple[str, str], Sample],
        first: Mapping[str, Evidence],
        last: Mapping[str, Evidence],
        factors: Mapping[str, float],
        look: Look,
        *,
        confirmation: bool,
    ) -> None:
        self.fit, self.first, self.last = fit, first, last
        self.factors, self.look, self.confirmation = factors, look, confirmation
        self.places: dict[Where, dict[str, Sample]] = {}
        self.jobs: dict[str, str] = {}
        self.measured_again: set[str] = set()
        for (point, metric), one in fit.items():
            self.places.setdefault((point, cause_of(metric)), {})[metric] = one
            self.jobs[point] = one.job or point
            if one.again is not None:
                self.measured_again.add(point)
        self.family = families.figures(last, factors)
        self.bound = 1.0
        self.seen = self._seen() if confirmation else set(look.strict)
        self.named = {where for where in self.seen if self._large(where)}
        everything = self._all()
        self.means = everything if any(one.word for one in everything) else [*self._jobs(), *everything]

    def _leading(self, where: Where) -> str:
        """The metric of a place's cause with the smaller p-value."""
        return min(self.places[where], key=lambda metric: self._least(where[0], metric)[0])

    def _least(self, point: str, metric: str) -> tuple[float, bool]:
        """The smaller p-value of a figure over all runs, and whether it is that beside the others."""
        one = self.last[metric]
        alone = one.alone[point].p if point in one.alone else 1.0
        beside = one.beside[point].p if point in one.beside else 1.0
        return min(alone, beside), beside < alone

    def _seen(self) -> set[Where]:
        """Places that the last look sees: beyond what chance among all shows, and in the second block by itself too."""
        p = [
            value if where[0] in self.measured_again else 1.0
            for table in (self.family.alone, self.family.beside)
            for where, value in table.items()
        ]
        least = families.cut(p, families.WORDS)
        self.bound = families.WORDS * max(1, sum(one <= least for one in p)) / max(1, len(p))
        return {
            where
            for where in self.look.figures
            if where[0] in self.measured_again and self.family.least(where) <= least and self._repeats(where)
        }

    def _repeats(self, where: Where) -> bool:
        point = where[0]
        metric = self._leading(where)
        _, beside = self._least(point, metric)
        test = (self.last[metric].beside if beside else self.last[metric].alone)[point]
        return repeats(test, families.REPEATS_P)

    def _large(self, where: Where) -> bool:
        """Whether any view of it is as large as its floor."""
        return any(
            size(self._effect(where[0], metric)) >= one.floor for metric, one in self.places[where].items()
        )

    def _effect(self, point: str, metric: str) -> float:
        return self.last[metric].alone[point].effect

    def _jobs(self) -> list[Mean]:
        """Means of jobs that were flagged: of the points that have no word of their own."""
        found: list[tuple[Mean, float, Effect | None]] = []
        tests = 0
        for metric, one in self.last.items():
            cause = cause_of(metric)
            for job, points in jobs_of(one).items():
                tests += len(points) >= LEAST_POINTS
                if (job, cause) not in self.look.jobs:
                    continue
                rest = [point for point in points if (point, cause) not in self.named]
                test = one.mean(rest) if len(rest) >= LEAST_POINTS else None
                again = all(self.fit[point, metric].again for point in rest)
                floor = floor_of(self.fit, points, metric)
                found.append(self._mean(job, metric, rest, test, floor, again=again))
        causes = len({cause_of(metric) for metric in self.last})
        tests = max(1, round(tests * causes / max(1, len(self.last))))
        return self._decided(found, families.JOB_WORDS / tests)

    def _all(self) -> list[Mean]:
        """The mean of all points without a word of their own, where it was flagged, and no single job makes it."""
        if not self.look.all:
            return []
        cause, one = cause_of(HEADLINE), self.last[HEADLINE]
        rest = [point for point in one.alone if (point, cause) not in self.named]
        test = of_all(self.last, rest)
        again = all(self.fit[point, HEADLINE].again for point in rest)
        if test is not None and again and not self._of_many(rest, test):
            test = None
        return self._decided(
            [self._mean("", HEADLINE, rest, test, ALL_FLOOR, again=again)], families.ALL_WORDS
        )

    def _of_many(self, points: Sequence[str], test: Effect) -> bool:
        """Whether the mean is still there without the job that moves it most."""
        one = self.last[HEADLINE]
        sums: dict[str, float] = {}
        for point in points:
            job = self.jobs[point]
            sums[job] = sums.get(job, 0.0) + math.copysign(1, test.effect) * one.alone[point].effect
        most = max(sums, key=sums.__getitem__)
        others = one.mean([point for point in points if self.jobs[point] != most])
        return others is not None and others.effect * test.effect > 0 and others.p <= families.ALL_REPEATS_P

    def _mean(
        self, job: str, metric: str, points: Sequence[str], test: Effect | None, floor: float, *, again: bool
    ) -> tuple[Mean, float, Effect | None]:
        effect = test.effect if test else 0.0
        word = _direction(effect, more_is_better=self._more_is_better(metric))
        waits = test is not None and not again
        why = f"may be {_with_article(word)}, and must hold over one more block" if waits else ""
        mean = Mean(
            job=job,
            metric=metric,
            points=tuple(points),
            effect=effect,
            half_width=test.half_width() if test else math.nan,
            df=test.df if test else 0.0,
            flagged=True,
            word=None if waits else word,
            why=why,
        )
        enough = test is not None and again and size(effect) >= floor
        p = self.factors[cause_of(metric)] * test.p if test and enough else 1.0
        return mean, p, test

    def _more_is_better(self, metric: str) -> bool:
        return next(one.more_is_better for (_, name), one in self.fit.items() if name == metric)

    def _decided(self, found: Sequence[tuple[Mean, float, Effect | None]], rate: float) -> list[Mean]:
        """Those that wait, and those that hold; what did not hold is no change of a mean."""
        decided = []
        for mean, p, test in found:
            least = families.JOB_REPEATS_P if mean.job else families.ALL_REPEATS_P
            holds = p <= rate and test is not None and repeats(test, least)
            if (mean.word is None and test is not None) or holds:
                decided.append(mean)
        return decided

    def again(self) -> list[str]:
        """Points to measure once more: whole jobs of what is flagged and waits."""
        jobs = {self.jobs[where[0]] for where in self.look.figures} | {job for job, _ in self.look.jobs}
        return [
            point
            for point, job in self.jobs.items()
            if (self.look.all or job in jobs) and point not in self.measured_again
        ]

    def finding(self, point: str, metric: str, one: Sample) -> Finding:
        """What is said of one figure."""
        mine = self.last[metric]
        test, begin = mine.alone.get(point), self.first[metric].alone.get(point)
        if test is None or begin is None:
            blocks = (one.first, one.again) if one.again else (one.first,)
            return Finding(
                effect_of(blocks),
                math.nan,
                math.nan,
                flagged=False,
                word=None,
                why="nothing says what noise is here: too few runs, and no ledger",
            )
        where = (point, cause_of(metric))
        p, beside = self._least(point, metric)
        first_p = min(
            begin.p, self.first[metric].beside[point].p if point in self.first[metric].beside else 1.0
        )
        flagged = where in self.look.figures and first_p <= families.REPEATS_P
        word, why = self._word(one, where, metric, test, p, flagged=flagged)
        narrow = test.half_width(EQUIVALENCE)
        chosen = self._chosen(where, metric) if word in {"regression", "improvement"} else 0.0
        return Finding(
            test.effect - chosen,
            test.half_width(INTERVAL),
            begin.p,
            flagged=flagged,
            word=word,
            why=why,
            sd=mine.noise.points[point].sd,
            df=test.df,
            within=abs(test.effect) + narrow,
            last_p=p,
            chosen=chosen,
            beside=beside and where in self.seen,
        )

    def _chosen(self, where: Where, metric: str) -> float:
        """What a word's effect owes to having passed: the mean by which a normal value above a bound exceeds its own, taken where it lies."""
        if not self.confirmation:
            return 0.0
        point, cause = where
        one = self.last[metric]
        test = one.beside[point] if self._least(point, metric)[1] else one.alone[point]
        if not test.error:
            return 0.0
        above = abs(test.t) - student.quantile(1 - self.bound / self.factors[cause] / 2, test.df)
        excess = NORMAL.pdf(above) / NORMAL.cdf(above) if above > 0 else NORMAL.pdf(0) / NORMAL.cdf(0)
        most = abs(one.alone[point].effect)
        return math.copysign(min(excess * test.error, most), one.alone[point].effect)

    def _word(
        self, one: Sample, where: Where, metric: str, test: Effect, p: float, *, flagged: bool
    ) -> tuple[Word | None, str]:
        word = _direction(test.effect, more_is_better=one.more_is_better)
        seen = where in self.seen and (metric == self._leading(where) or p <= SAME_FACT_P)
        if (seen and size(test.effect) < one.floor) or (where in self.look.small and p <= SAME_FACT_P):
            return "change below the floor", BELOW.format(floor=percent(100 * one.floor))
        if seen:
            return (
                word,
                "confirmed by a second block" if self.confirmation else "not confirmed: that was waived",
            )
        if self.confirmation and flagged:
            return self._flagged(one, where[0], metric, word)
        if not math.isnan(p) and test.p < 1 - INTERVAL:
            n = len(self.fit)
            return "no change seen", OUTSIDE.format(n=n)
        return "no change seen", ""

    def _flagged(self, one: Sample, point: str, metric: str, word: Word) -> tuple[Word | None, str]:
        """Of what the first block flagged, and nothing confirms."""
        if one.again:
            begin = _direction(self.first[metric].alone[point].effect, more_is_better=one.more_is_better)
            return (
                "no change seen",
                f"flagged as {begin} by the first block, and did not repeat in the second",
            )
        useless = f"; the block that was to confirm it does not count: {one.useless}" if one.useless else ""
        return None, f"may be {_with_article(word)}, and must repeat in one more block{useless}"


def _direction(effect: float, *, more_is_better: bool) -> Word:
    return "improvement" if (effect > 0) == more_is_better else "regression"


def repeats(test: Effect, p: float) -> bool:
    """Whether the last block shows the sign of all, by itself, one-sided."""
    toward = math.copysign(1, test.effect) * test.last
    return math.isinf(toward) or student.upper(toward, test.df) <= p


def silent(one: Sample) -> Finding:
    """Of a figure that was measured and may not be judged."""
    return Finding(one.first.effect, math.nan, math.nan, flagged=False, word=None, why=one.unfit)


def _with_article(word: str) -> str:
    return f"an {word}" if word == "improvement" else f"a {word}"
