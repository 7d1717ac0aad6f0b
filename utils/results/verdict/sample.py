"""What goes into a judgement, and what comes out: numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from utils.results.verdict.contrasts import Block
    from utils.results.verdict.evidence import Evidence
    from utils.results.verdict.outcome import Word
    from utils.results.verdict.spread import Spread


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
    point: str = ""
    metric: str = ""
    job: str = ""
    """Whose servers it shares."""
    group: str = ""
    """Points whose noise is of one kind where no ledger says more."""
    unfit: str = ""
    """Why nothing can be said of it, although it was measured."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of a sample."""

    effect: float
    """In logs; over all blocks."""
    half_width: float
    """Of the 95 % interval; nan where nothing calibrates it."""
    p: float
    """Two-sided, of the first block."""
    flagged: bool
    """Stood out in the first block."""
    word: Word | None
    """None where there is no calibration, or a flag waits for its confirmation."""
    why: str
    """In words, where the word alone does not say it."""
    sd: float = math.nan
    """Of one run, as it is taken to be."""
    df: float = 0.0
    within: float = math.nan
    """In logs: the effect is smaller than that, at 5 %."""
    last_p: float = math.nan
    """Two-sided, of all blocks; the smaller of by itself and beside the others."""
    chosen: float = 0.0
    """In logs, with the effect's sign: by how much it was drawn toward zero, because only what looks large gets a word."""
    beside: bool = False
    """Whether it is seen beside the other points of its server."""


@dataclass(frozen=True, slots=True)
class Mean:
    """What is said of a job's mean, or of that of all points."""

    job: str
    """Empty for all."""
    metric: str
    points: tuple[str, ...]
    """Those that have no word of their own in it."""
    effect: float
    half_width: float
    df: float
    flagged: bool
    word: Word | None
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that is said of a change."""

    findings: list[Finding]
    means: list[Mean]
    """Those that were flagged."""
    again: list[str]
    """Points to measure once more: whole jobs, for points of one server are seen beside each other."""
    first: Mapping[str, Evidence]
    """By metric, of the first block."""
    last: Mapping[str, Evidence]
    factors: Mapping[str, float]
    """Of the first look, by cause."""
    tests: int
    """In the family of figures."""
