"""From a finding in logs to what is said of a figure, in percent and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matrix.metrics import METRICS
from utils.results.verdict import families, metrics, seen
from utils.results.verdict.families import cause_of
from utils.results.verdict.metrics import geometric_mean
from utils.results.verdict.outcome import MetricVerdict

if TYPE_CHECKING:
    from utils.results.verdict.outcome import Word
    from utils.results.verdict.sample import Finding, Judgement, Sample

MOST_PERCENT = 100.0
"""A change as large as that needs no statistics; nothing is said of larger ones."""
WITHIN_MOST = 0.15
"""In logs: "unchanged within" more than that says nothing that anybody wants to know."""


def nothing(runs: tuple[int, int], word: Word | None, why: str) -> MetricVerdict:
    """Of a figure that is not judged."""
    return MetricVerdict(
        base=None,
        head=None,
        percent=None,
        low_percent=None,
        high_percent=None,
        runs=runs,
        df=0,
        calibration="none",
        spread_percent=None,
        floor_percent=0.0,
        p=None,
        could_see_percent=None,
        flagged=False,
        word=word,
        why=why,
    )


def judged(one: Sample, finding: Finding, judgement: Judgement, *, confirmation: bool) -> MetricVerdict:
    """Of one that is."""
    blocks = (one.first, one.again) if one.again else (one.first,)
    base = [value for block in blocks for value in block.base]
    head = [value for block in blocks for value in block.head]
    known = not math.isnan(finding.half_width)
    scale = METRICS[one.metric].scale
    return MetricVerdict(
        base=scale * geometric_mean(base),
        head=scale * geometric_mean(head),
        percent=metrics.percent(finding.effect),
        low_percent=metrics.percent(finding.effect - finding.half_width + min(finding.chosen, 0.0))
        if known
        else None,
        high_percent=metrics.percent(finding.effect + finding.half_width + max(finding.chosen, 0.0))
        if known
        else None,
        runs=(len(base), len(head)),
        df=int(finding.df) if known else 0,
        calibration=_calibration(one, known=known),
        spread_percent=100 * finding.sd if known else None,
        floor_percent=100 * one.floor,
        p=finding.p if known else None,
        could_see_percent=could_see(one, judgement, confirmation=confirmation) if known else None,
        flagged=finding.flagged,
        word=finding.word,
        why=finding.why,
        cause=cause_of(one.metric),
        unchanged_within_percent=metrics.percent(finding.within)
        if known and finding.within <= WITHIN_MOST
        else None,
        beside=finding.beside,
    )


def _calibration(one: Sample, *, known: bool) -> str:
    if not known:
        return "none"
    return one.spread.calibration if one.spread.sd > 0 else "change"


def could_see(one: Sample, judgement: Judgement, *, confirmation: bool = True) -> float | None:
    """The smallest change of this one point, in percent, that the whole rule finds four times in five; None where that is none."""
    first = judgement.first[one.metric]
    mine = first.noise.points[one.point]
    error = mine.sd * one.first.scale
    if not error:
        return 100 * one.floor
    factor = judgement.factors[cause_of(one.metric)]
    blocks = one.first.noise()[0]
    later = 1 / (1 / (mine.level_df + first.noise.level_df / first.jobs) + 1 / (mine.point_df + len(blocks)))
    own = first.noise.level_df
    spread = (own / mine.level_df**2 if mine.level_df else 0.0) + len(blocks) / mine.point_df**2
    first_p = families.FIRST_P if confirmation else families.FALSE_DISCOVERIES / judgement.tests
    found = seen.smallest(
        seen.Rule(
            first_p=first_p / factor,
            last_p=families.WORDS / judgement.tests / factor,
            first_df=mine.df,
            last_df=later,
            beside_df=first.beside_df.get(one.point, mine.df),
            own_df=1 / spread if spread else math.inf,
            ratio=min(first.beside_ratio.get(one.point, 1.0), 1.0) if confirmation else 1.0,
            floor=math.log1p(one.floor) / error,
            confirms=confirmation,
        )
    )
    percent = metrics.percent(found * error) if not math.isnan(found) else math.inf
    return percent if percent <= MOST_PERCENT else None
