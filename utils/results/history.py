"""A point's figures over time, and where they stepped.

Steps are found by binary segmentation (Scott and Knott, Biometrics 30, 1974, 507-512): the split with the largest Student's t
between the means of its two sides, in logs, then each side again, while a split is beyond what chance among so many would show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING

from scipy import special

from matrix import key
from matrix.metrics import METRICS
from utils.results.verdict import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.changelog.entries import Entry

STEP_P = 0.01
"""Of a step where there is none, over all the places where a series could have one (Bonferroni)."""
LEAST = 2
"""Measurements on either side of a step."""
STEP_FLOOR = 0.01
"""In logs; a smaller step is not told."""


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
    title: str = ""
    counts: bool = True
    """Whether it was measured here; a step rests on nothing else."""


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
    """The entry nearest before or at it."""


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
            origin="records, own environment" if key.is_local(same[0].key) else "records",
            counts=not key.is_local(same[0].key),
        )
        for same in groups.values()
    ]


def from_entries(point: str, entries: Sequence[Entry], known: Sequence[Measurement]) -> list[Measurement]:
    """A measurement an entry, unless its records are among the known ones."""
    found = []
    for entry in entries:
        line = entry.points.get(point.split("/")[1])
        if line is None or entry.date is None:
            continue
        commit = entry.head.commit if entry.head else ""
        if any(one.commit == commit and one.key == line.key for one in known):
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
                title=entry.title,
                counts=entry.source is None and not key.is_local(line.key),
            )
        )
    return found


def series(point: str, records: Sequence[Record], entries: Sequence[Entry]) -> list[Measurement]:
    """All measurements of a point, oldest first."""
    known = from_records(point, records)
    return sorted([*known, *from_entries(point, entries, known)], key=lambda one: one.time)


def steps(measured: Sequence[Measurement], entries: Sequence[Entry]) -> list[Step]:
    """Every step of every figure, oldest first."""
    found = []
    for metric in METRICS:
        ones = [one for one in measured if one.counts and metric in one.values]
        logs = [math.log(one.values[metric]) for one in ones]
        cuts = [0, *splits(logs), len(logs)]
        for begin, at, end in zip(cuts, cuts[1:], cuts[2:], strict=False):
            before, after = fmean(logs[begin:at]), fmean(logs[at:end])
            if abs(after - before) < STEP_FLOOR:
                continue
            near = [entry for entry in entries if entry.date and entry.date <= ones[at].day]
            found.append(
                Step(
                    metric=metric,
                    day=ones[at].day,
                    commit=ones[at].commit,
                    before=math.exp(before),
                    after=math.exp(after),
                    percent=metrics.percent(after - before),
                    sides=(at - begin, end - at),
                    near=_named(near[0]) if near else "",
                )
            )
    return sorted(found, key=lambda step: (step.day, step.metric))


def splits(values: Sequence[float]) -> list[int]:
    """Where a series steps: positions of the first value after each step."""
    places = range(LEAST, len(values) - LEAST + 1)
    best, at = 0.0, 0
    for place in places:
        t = abs(_t(values[:place], values[place:]))
        if t > best:
            best, at = t, place
    if not at or 2 * float(special.stdtr(len(values) - 2, -best)) * len(places) > STEP_P:
        return []
    return [*splits(values[:at]), at, *(at + more for more in splits(values[at:]))]


def _t(one: Sequence[float], other: Sequence[float]) -> float:
    """Student's t with a common variance; infinite where both sides are flat and differ."""
    a, b = fmean(one), fmean(other)
    squares = sum((x - a) ** 2 for x in one) + sum((x - b) ** 2 for x in other)
    error = math.sqrt(squares / (len(one) + len(other) - 2) * (1 / len(one) + 1 / len(other)))
    return (b - a) / error if error else math.copysign(math.inf, b - a) if a != b else 0.0


def _named(entry: Entry) -> str:
    return f"#{entry.pr} {entry.title}" if entry.pr else entry.title


def _day(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
