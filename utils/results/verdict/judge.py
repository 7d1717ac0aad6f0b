"""The verdict on one change, from numbers alone: effects against what the ledger says noise is, many at once, confirmed once.

The unit is a run (a server start). Effects are differences of mean logs, d = head - base; with the ledger's spread s,
t = d / (s sqrt(1/n + 1/m)) has Student's distribution. Benjamini and Hochberg (1995) bound the share of false flags over all
points and metrics of the change; practical floors leave out what nobody would act on; what remains must repeat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from scipy import special

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.comparison import Word
    from utils.results.verdict.ledger import Spread

FALSE_DISCOVERIES = 0.10
CONFIRM_P = 0.05
"""Two-sided, and the sign must be the one that was flagged."""
POWER = 2.8
"""Standard errors that an effect needs to be seen four times in five at 5 %: 1.96 + 0.84."""


@dataclass(frozen=True, slots=True)
class Block:
    """Values of the runs of both arms in one allocation."""

    base: tuple[float, ...]
    head: tuple[float, ...]

    @property
    def effect(self) -> float:
        """In logs, of head over base."""
        return fmean(map(math.log, self.head)) - fmean(map(math.log, self.base))

    @property
    def scale(self) -> float:
        """Standard errors of the effect for a spread of 1."""
        return math.sqrt(1 / len(self.head) + 1 / len(self.base))


@dataclass(frozen=True, slots=True)
class Sample:
    """A metric of a point, as it was measured."""

    first: Block
    again: Block | None
    """The block that confirms, where there is one."""
    spread: Spread
    floor: float
    """The smallest effect that matters, as a share: 0.01 is 1 %."""
    more_is_better: bool
    useless: str = ""
    """Why a second block that was measured does not count."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of a sample."""

    effect: float
    """In logs; of the second block where a flag has one, for the first was chosen because it stood out."""
    half_width: float
    """Of the 95 % interval; nan where nothing calibrates it."""
    p: float
    """Two-sided, of the first block."""
    could_see: float
    """In logs: 2.8 standard errors, which one test by itself would have seen four times in five, or the floor if that is larger."""
    flagged: bool
    """Stood out in the first block."""
    word: Word | None
    """None where there is no calibration, or a flag waits for its confirmation."""
    why: str
    """In words, where the word alone does not say it."""


def judge(samples: Sequence[Sample], *, confirmation: bool = True) -> list[Finding]:
    """Judge all samples of a change together.

    Args:
        samples: every point and judged metric of the change.
        confirmation: whether a flag must repeat; without that a flag is a word at once.
    """
    p = [_p_value(one.first, one.spread) for one in samples]
    passed = benjamini_hochberg(p)
    return [
        _finding(one, value, significant, confirmation=confirmation)
        for one, value, significant in zip(samples, p, passed, strict=True)
    ]


def benjamini_hochberg(p: Sequence[float], rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Which of many tests stand out, so that the share of false ones among them is at most `rate`; nan is no test."""
    ordered = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    last = 0
    for rank, (value, _) in enumerate(ordered, 1):
        if value <= rate * rank / len(ordered):
            last = rank
    result = [False] * len(p)
    for _, i in ordered[:last]:
        result[i] = True
    return result


def _p_value(block: Block, spread: Spread) -> float:
    if spread.calibration == "none":
        return math.nan
    if spread.sd == 0:
        return float(block.effect == 0)
    return 2 * float(special.stdtr(spread.df, -abs(block.effect) / (spread.sd * block.scale)))


def _finding(one: Sample, p: float, significant: bool, *, confirmation: bool) -> Finding:  # noqa: FBT001 - a result, not a switch
    flagged = significant and abs(math.expm1(one.first.effect)) >= one.floor
    shown = one.again if flagged and one.again else one.first
    effect, error = shown.effect, one.spread.sd * shown.scale
    half_width = (
        float(special.stdtrit(one.spread.df, 0.975)) * error if one.spread.calibration != "none" else math.nan
    )
    could_see = max(POWER * one.spread.sd * one.first.scale, one.floor)
    word, why = _word(one, significant, flagged, confirmation=confirmation)
    return Finding(effect, half_width, p, could_see, flagged, word, why)


def _word(one: Sample, significant: bool, flagged: bool, *, confirmation: bool) -> tuple[Word | None, str]:  # noqa: FBT001 - results
    if one.spread.calibration == "none":
        return None, ""
    if not flagged:
        return "no change seen", "under its floor" if significant else ""
    better = (one.first.effect > 0) == one.more_is_better
    word: Word = "improvement" if better else "regression"
    if not confirmation:
        return word, "not confirmed: that was waived"
    if one.again is None:
        useless = f"; the block that was to confirm it does not count: {one.useless}" if one.useless else ""
        return None, f"may be a {word}, and must repeat in one more block{useless}"
    if repeats(one.first, one.again, one.spread):
        return word, "confirmed by a second block"
    return "no change seen", f"stood out as {word} once, and did not repeat"


def repeats(first: Block, again: Block, spread: Spread) -> bool:
    """Whether a second block shows the sign of the first at 5 %, by itself."""
    toward = math.copysign(1, first.effect) * again.effect
    if spread.sd == 0:
        return toward > 0
    return float(special.stdtr(spread.df, -toward / (spread.sd * again.scale))) <= CONFIRM_P / 2
