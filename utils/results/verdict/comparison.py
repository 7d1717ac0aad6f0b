"""What is said of a change, as one value: text, Markdown, changelog and comment are made from it, and it is the JSON."""

from __future__ import annotations

import json
from typing import Literal

from matrix.schema import Value
from utils.results.verdict.ledger import Calibration

SCHEMA = 1
Word = Literal["regression", "improvement", "no change seen", "invalid"]


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
    """Effect, head over base; of the second block where there is one, because the first was chosen for standing out."""
    low_percent: float | None
    """95 % interval of the effect."""
    high_percent: float | None
    runs: tuple[int, int]
    """Fresh servers of base and head behind the effect."""
    df: int
    """Degrees of freedom: pairs of servers that the ledger's spread rests on."""
    calibration: Calibration
    """`own` of this point, `borrowed` from its class, or `none`."""
    spread_percent: float | None
    """Standard deviation of one run."""
    floor_percent: float
    p: float | None
    """Two-sided, of the first block, before the correction for many."""
    could_see_percent: float | None
    """2.8 standard errors, or the floor where that is larger: what one test by itself would have seen four times in five."""
    flagged: bool
    """Stood out in the first block."""
    word: Word | None
    """None where nothing calibrates it, or a flag waits for its confirmation."""
    why: str
    """What the word alone does not say."""


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
    """Points of one job share their servers, and count as one for the interval."""
    text: str


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

    @property
    def flagged(self) -> list[str]:
        """Points that wait for their confirmation."""
        return [
            one.point
            for one in self.points
            if any(metric.flagged and metric.word is None for metric in one.metrics.values())
        ]

    def to_json(self) -> str:
        """The documented form; `schema` is its first key."""
        body = self.model_dump(mode="json", exclude={"schema_version"})
        return json.dumps({"schema": self.schema_version, **body}, indent=1, allow_nan=False) + "\n"
