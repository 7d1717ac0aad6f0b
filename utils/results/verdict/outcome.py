"""What is said of a change, as one value: text, Markdown, changelog and comment are made from it, and it is the JSON."""

from __future__ import annotations

import json
from typing import Literal

from matrix.schema import Value
from utils.results.verdict.spread import Calibration

SCHEMA = 1
NOISIER_P = 0.01
"""Chance by which a head that is no noisier than its base is called so."""
Word = Literal["regression", "improvement", "no change seen", "change below the floor", "invalid"]


class Whole(Value):
    """Means over a whole run, as the field publishes them; nothing is judged by them."""

    base: float
    head: float
    percent: float


class MetricVerdict(Value):
    """One judged metric of one point."""

    base: float | None
    """Geometric mean over the runs of the block that the effect is of, in the metric's unit."""
    head: float | None
    percent: float | None
    """Effect, head over base, over all blocks; where a word rests on it, drawn toward zero by what it owes to having been chosen."""
    low_percent: float | None
    """95 % interval of the effect, for this figure by itself."""
    high_percent: float | None
    runs: tuple[int, int]
    """Fresh servers of base and head behind the effect."""
    df: int
    """Degrees of freedom of the noise: of the ledger's level, with the weight that it is given, and of the change's own runs."""
    calibration: Calibration
    """Where the ledger's part is from: `own` of this point, `borrowed` from its recipe, model or class; `change` where the change's
    own runs say all, `none` where nothing does."""
    spread_percent: float | None
    """Standard deviation of one run."""
    floor_percent: float
    p: float | None
    """Two-sided, of the first block, before the correction for many."""
    could_see_percent: float | None
    """The smallest change of this one point that the whole rule finds four times in five; None where no change up to 100 % is."""
    flagged: bool
    """Stood out in the first block."""
    word: Word | None
    """None where nothing calibrates it, or a flag waits for its confirmation."""
    why: str
    """What the word alone does not say."""
    cause: str = ""
    """What it is a view of; metrics of one cause are one fact."""
    unchanged_within_percent: float | None = None
    """The effect is smaller than that, on either side, at 5 %: a statement that holds also where nothing was seen."""
    beside: bool = False
    """Whether the word rests on what the point does beside the other points of its server."""


class TaskVerdict(Value):
    """A task that both arms answered."""

    verdict: Literal["passed", "failed", "not tested"]
    base: float | None
    """Score in percent."""
    head: float | None
    why: str


class PointVerdict(Value):
    """One point."""

    point: str
    runs: tuple[int, int]
    """Of base and head in the first block."""
    vary: list[str]
    """Parts of the key in which head and base differ."""
    metrics: dict[str, MetricVerdict]
    whole: dict[str, Whole]
    beside: dict[str, MetricVerdict] = {}
    """Figures that are shown with their own noise, such as power, and never have a word."""
    accuracy: dict[str, TaskVerdict] = {}
    """By task, where the recipe asks for one."""
    invalid: str
    """Why nothing can be said of it; empty where something can."""


class Headline(Value):
    """The change in one line: the mean log ratio of throughput over its points."""

    percent: float | None
    low_percent: float | None
    high_percent: float | None
    points: int
    jobs: int
    """Points of one job share their servers, and count together for the interval."""
    text: str
    word: Word | None = None
    """Of the mean itself: a change of everything, as such."""
    waits: bool = False
    """Whether it was flagged, and everything is to be measured once more."""


class MeanVerdict(Value):
    """The mean of a job's points in one metric."""

    job: str
    metric: str
    points: list[str]
    """Those that have no word of their own in it."""
    percent: float
    low_percent: float
    high_percent: float
    word: Word | None
    why: str


class CauseVerdict(Value):
    """One fact, once, however many metrics and points show it."""

    word: Word
    cause: str
    """`speed` for throughput and time per token."""
    metrics: list[str]
    points: list[str]
    job: str = ""
    """The job whose mean it is; empty where points show it by themselves."""
    worst_percent: float
    """Of its points, the largest effect of the first metric."""


class NoiseVerdict(Value):
    """What the change's own runs say of noise in one metric."""

    metric: str
    over_ledger: float | None
    """Variance of its own runs over what the ledger says; None without a ledger."""
    louder_p: float | None
    """How often chance alone makes it so much."""
    head_over_base: float | None
    """Variance inside of the head's runs over that of the base's."""
    head_louder_p: float | None
    loud_jobs: list[str]
    share: float
    """Of the variance, what points of one server have in common."""

    @property
    def noisier_head(self) -> bool:
        """Whether the head's runs scatter more than the base's, beyond chance: a finding of its own."""
        return self.head_louder_p is not None and self.head_louder_p < NOISIER_P


class LedgerName(Value):
    """By what it was judged."""

    sha256: str
    """Of the ledger's text; empty where there was none."""
    differences: int
    rule: int
    """Version of the rule."""


class Part(Value):
    """Of a difference of TPOT: a kernel's, or what is no kernel."""

    name: str
    family: str
    ms: float
    """A token: above 0 where the head takes longer."""


class Reason(Value):
    """Where a point's change of TPOT comes from, by a pair of profiles; figures are ms a token, head less base."""

    point: str
    explained: bool
    """Whether the kernels' difference is the measured one, within what is allowed."""
    measured_ms: float = 0.0
    low_ms: float | None = None
    """95 % interval of what was measured; None where nothing says what noise is."""
    high_ms: float | None = None
    kernels_ms: float = 0.0
    """Of all kernels, where they overlap counted once."""
    allowed_ms: float = 0.0
    """A tenth of the measured difference, or half of its interval, whichever is more."""
    kernels: list[Part] = []
    """The largest differences."""
    rest: list[Part] = []
    """What is no kernel's: gaps, and what is outside of the profiled steps."""
    text: str
    """All of it in one line."""


class ClaimVerdict(Value):
    """What became of a claim that the author made before the sweep."""

    point: str
    metric: str
    claim: str
    outcome: Literal["holds", "fails", "undecided", "not counted"]
    why: str


class Comparison(Value):
    """Everything that is said of a change."""

    schema_version: Literal[1] = 1
    base_commit: str
    head_commit: str
    device: str
    headline: Headline
    points: list[PointVerdict]
    new: list[str]
    gone: list[str]
    claims: list[ClaimVerdict] = []
    notes: list[str]
    """What a reader must know, such as arms whose clients are not the same."""
    jobs: list[MeanVerdict] = []
    """Jobs whose mean changed, beyond the points that have a word of their own."""
    causes: list[CauseVerdict] = []
    """Every change, each fact once."""
    noise: list[NoiseVerdict] = []
    reasons: list[Reason] = []
    """Where the change comes from, of points that have a pair of profiles."""
    sensitivity: str = ""
    """What could have been seen and what is known to be unchanged, in one sentence; also where nothing was seen."""
    ledger: LedgerName | None = None
    again: list[str] | None = None
    """Points to measure once more: whole jobs of what was flagged. None in verdicts of older versions."""

    @property
    def judged(self) -> bool:
        """Whether any figure has a word; where none has, nobody may take silence for well."""
        return any(
            metric.word not in {None, "invalid"} for one in self.points for metric in one.metrics.values()
        )

    @property
    def flagged(self) -> list[str]:
        """Points that wait for their confirmation, and those that are measured with them."""
        if self.again is not None:
            return self.again
        return [
            one.point
            for one in self.points
            if any(metric.flagged and metric.word is None for metric in one.metrics.values())
        ]

    def to_json(self) -> str:
        """The documented form; `schema` is its first key."""
        body = self.model_dump(mode="json", exclude={"schema_version"})
        return json.dumps({"schema": self.schema_version, **body}, indent=1, allow_nan=False) + "\n"
