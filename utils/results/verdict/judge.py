"""The verdict on one change, from numbers alone: a loose first look that decides what is measured again, and a strict last one over all runs.

The unit is a run (a server start). Effects are differences of mean logs, d = head - base; with a run's noise s,
t = d / (s sqrt(1/n + 1/m)) has Student's distribution. What noise is, `noise` says; which tests there are, `evidence`; how
many at once, `families`; the words, `words`. Practical floors leave out what nobody would act on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.results.verdict import evidence, families, noise
from utils.results.verdict.contrasts import Block
from utils.results.verdict.families import benjamini_hochberg
from utils.results.verdict.first_look import first_look
from utils.results.verdict.sample import Finding, Judgement, Mean, Sample
from utils.results.verdict.words import Words, silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.verdict.evidence import Evidence

__all__ = ["Block", "Finding", "Judgement", "Mean", "Sample", "benjamini_hochberg", "judge", "judged"]


def judge(samples: Sequence[Sample], *, confirmation: bool = True) -> list[Finding]:
    """What is to be said of each sample."""
    return judged(samples, confirmation=confirmation).findings


def judged(samples: Sequence[Sample], *, confirmation: bool = True) -> Judgement:
    """The whole change.

    Args:
        samples: all of its figures; the correction for many is over all of them.
        confirmation: whether what the first look flags must hold over a second block as well.
    """
    named = [(one.point or f"#{i}", one.metric or f"#{i}", one) for i, one in enumerate(samples)]
    fit = {(point, metric): one for point, metric, one in named if not one.unfit}
    first = _evidence(fit, both=False)
    last = _evidence(fit, both=True) if any(one.again for one in fit.values()) else first
    factors = families.agreement(first)
    look = first_look(fit, first, factors)
    words = Words(fit, first, last, factors, look, confirmation=confirmation)
    findings = [
        words.finding(point, metric, one) if (point, metric) in fit else silent(one)
        for point, metric, one in named
    ]
    return Judgement(
        findings, words.means, words.again(), first, last, factors, max(1, len(words.family.all))
    )


def _evidence(fit: Mapping[tuple[str, str], Sample], *, both: bool) -> dict[str, Evidence]:
    figures: dict[str, list[noise.Figure]] = {}
    for (point, metric), one in fit.items():
        blocks = (one.first, one.again) if both and one.again else (one.first,)
        figures.setdefault(metric, []).append(
            noise.Figure(point, one.job or point, one.group, one.spread, blocks)
        )
    return {metric: evidence.of(all_of_it) for metric, all_of_it in figures.items()}
