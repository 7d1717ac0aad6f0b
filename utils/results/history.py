"""A point's figures over time, and where they stepped.

The unit is an allocation, for arms of one share their node: equal arms are one measurement, and a head that differs from its
base is placed by what it does beside it. Steps rest on steady windows, as verdicts do. `utils.results.steps` finds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from matrix import key
from matrix.metrics import JUDGED, METRICS
from utils.results.steps import LEAST, STEP_P, over_time
from utils.results.verdict import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.changelog.entries import Entry

STEP_FLOOR = 0.01
"""In logs; a smaller step is not told."""
NEAR = 2
"""Places by which a step may move as more is measured, and be the same."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One allocation's runs of one arm, or an entry's line."""

    day: str
    time: float
    commit: str
    key: str
    values: dict[str, float]
    """Means of whole runs, in the shown units; only what is known."""
    runs: int
    origin: str
    """`records`, `entry #42`, or `source: …` for figures that were not measured here."""
    whose: Literal["records", "records, own environment", "changelog", "published by others"]
    """Whose figures they are. Those of a person's own environment feed no step either, and are ours."""
    title: str = ""
    counts: bool = True
    """Whether it was measured here; a step rests on nothing else."""
    steady: dict[str, float] = field(default_factory=dict)
    """Means of the steady windows, of what is judged, in the shown units."""
    allocation: str = ""
    """Empty for an entry's."""
    arm: str = ""
    """Of records; a base measured again for another change takes no entry's place."""


@dataclass(frozen=True, slots=True)
class Step:
    """A lasting change of a figure."""

    metric: str
    day: str
    """Of the first measurement after it."""
    commit: str
    before: float
    after: float
    percent: float
    sides: tuple[int, int]
    near: str
    """The entry nearest before or at it; what others published changed nothing here."""
    taken_back: bool = False
    """Whether it was shown while the series was shorter, and is not borne out by what was measured since."""


def from_records(point: str, records: Sequence[Record]) -> list[Measurement]:
    """A measurement an allocation and arm; failed and invalid runs are left out, and so are blocks that only confirm."""
    groups: dict[tuple[str, str], list[Record]] = {}
    heads = {
        (one.allocation, one.provenance.tree_commit): one.key
        for one in records
        if one.arm == "head" and one.point == point
    }
    for record in records:
        of_head = heads.get((record.allocation, record.provenance.tree_commit), record.key)
        if record.key != of_head:  # the head without its kernel: no state of the recipe
            continue
        if record.point == point and record.status == "measured" and record.block == 1 and not record.recipe:
            groups.setdefault((record.allocation, record.arm), []).append(record)
    return [
        Measurement(
            day=_day(same[0].clock.wall_unix_s),
            time=min(one.clock.wall_unix_s for one in same),
            commit=same[0].provenance.tree_commit,
            key=same[0].key,
            values=metrics.whole(same),
            runs=len(same),
            origin=_of_records(same[0]),
            whose=_of_records(same[0]),
            counts=not key.is_local(same[0].key),
            steady=metrics.steady(same),
            allocation=allocation,
            arm=arm,
        )
        for (allocation, arm), same in groups.items()
    ]


def _of_records(one: Record) -> Literal["records", "records, own environment"]:
    return "records, own environment" if key.is_local(one.key) else "records"


def from_entries(point: str, entries: Sequence[Entry], known: Sequence[Measurement]) -> list[Measurement]:
    """A measurement an entry, unless its records are among the known ones."""
    found = []
    for entry in entries:
        line = entry.points.get(point.split("/")[1])
        if line is None or entry.date is None:
            continue
        commit = entry.head.commit if entry.head else ""
        if any(one.commit == commit and one.key == line.key and one.arm != "base" for one in known):
            continue
        name = f"entry #{entry.pr}" if entry.pr else "entry"
        found.append(
            Measurement(
                day=entry.date,
                time=datetime.fromisoformat(entry.date).replace(tzinfo=UTC).timestamp(),
                commit=commit,
                key=line.key,
                values=dict(line.figures),
                runs=int(line.n.split("+")[1]),
                origin=f"source: {entry.source}" if entry.source else name,
                whose="published by others" if entry.source else "changelog",
                title=entry.title,
                counts=entry.source is None and not key.is_local(line.key),
            )
        )
    return found


def series(point: str, records: Sequence[Record], entries: Sequence[Entry]) -> list[Measurement]:
    """All measurements of a point, oldest first."""
    known = [_with_its_entry(point, one, entries) for one in from_records(point, records)]
    return sorted([*known, *from_entries(point, entries, known)], key=lambda one: one.time)


def _with_its_entry(point: str, one: Measurement, entries: Sequence[Entry]) -> Measurement:
    """A measurement with the name of the entry that was made of it."""
    for entry in entries:
        line = entry.points.get(point.split("/")[1])
        if (
            line
            and entry.head
            and one.arm != "base"
            and (entry.head.commit, line.key) == (one.commit, one.key)
        ):
            return replace(one, title=_named(entry))
    return one


def steps(measured: Sequence[Measurement], entries: Sequence[Entry], *, among: int = 1) -> list[Step]:
    """Every step of every figure, oldest first, and those that were shown once and are not borne out.

    Args:
        measured: of one point.
        entries: of its recipe.
        among: points of the recipe; over all their figures together false steps are held to `STEP_P`.
    """
    found = []
    rate = STEP_P / (among * len(METRICS))
    for metric in METRICS:
        ones, logs = _leveled(measured, metric)
        history = over_time(logs, rate, [_grain(one, metric) for one in ones])
        if not history:
            continue
        now = history[-1]
        found += [
            _step(metric, ones, logs, [0, *now, len(logs)][i : i + 3], entries) for i in range(len(now))
        ]
        known = [*now]
        for number, then in enumerate(history[:-1]):
            for i, cut in enumerate(then):
                if all(abs(cut - one) > NEAR for one in known):
                    known.append(cut)
                    bounds = [0, *then, 2 * LEAST + number]
                    found.append(
                        replace(_step(metric, ones, logs, bounds[i : i + 3], entries), taken_back=True)
                    )
    found = [step for step in found if abs(math.log1p(step.percent / 100)) >= STEP_FLOOR]
    return sorted(found, key=lambda step: (step.day, step.metric))


def _leveled(measured: Sequence[Measurement], metric: str) -> tuple[list[Measurement], list[float]]:
    """The measurements that a metric's steps rest on, in logs: a head that differs from the base of its allocation stands where its base does, plus what it does beside it."""
    counted = [one for one in measured if one.counts]
    steady = [one for one in counted if metric in one.steady]
    judged = metric in JUDGED and len(steady) >= 2 * LEAST
    ones = steady if judged else [one for one in counted if metric in one.values]
    plain = [math.log((one.steady if judged else one.values)[metric]) for one in ones]
    levels: dict[str, list[float]] = {}
    bases: dict[str, tuple[str, float]] = {}
    found: list[float] = []
    kept: list[Measurement] = []
    for one, value in zip(ones, plain, strict=True):
        level = value
        if one.allocation in bases and bases[one.allocation][0] == one.key:
            at = next(i for i, other in enumerate(kept) if other.allocation == one.allocation)
            found[at] = (found[at] + value) / 2
            continue
        if one.allocation in bases:
            key, beside = bases[one.allocation]
            level = fmean(levels[key]) + value - beside
        elif one.allocation:
            bases[one.allocation] = one.key, value
        levels.setdefault(one.key, []).append(level)
        found.append(level)
        kept.append(one)
    return kept, found


def _grain(one: Measurement, metric: str) -> float:
    """In logs, how finely a figure is written in its entry; of records all digits are there."""
    if one.allocation:
        return 0.0
    value = one.values[metric]
    decimals = len(f"{value:.6f}".rstrip("0").partition(".")[2])
    return float(10**-decimals) / value


def _step(
    metric: str,
    ones: Sequence[Measurement],
    logs: Sequence[float],
    bounds: Sequence[int],
    entries: Sequence[Entry],
) -> Step:
    begin, at, end = bounds
    before, after = fmean(logs[begin:at]), fmean(logs[at:end])
    near = [entry for entry in entries if entry.date and entry.date <= ones[at].day and not entry.source]
    return Step(
        metric=metric,
        day=ones[at].day,
        commit=ones[at].commit,
        before=math.exp(before),
        after=math.exp(after),
        percent=metrics.percent(after - before),
        sides=(at - begin, end - at),
        near=_named(near[0]) if near else "",
    )


def _named(entry: Entry) -> str:
    return f"#{entry.pr} {entry.title}" if entry.pr else entry.title


def _day(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
