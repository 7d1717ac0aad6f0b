"""Two record sets side by side: numbers and differences, no word of judgement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utils.node.record import Record, Window

METRICS: dict[str, tuple[str, Callable[[Window], float]]] = {
    "tput": ("tok/s/device", lambda w: w.total_tok_per_s_per_device),
    "ttft": ("TTFT s", lambda w: w.ttft_s.mean),
    "tpot": ("TPOT ms", lambda w: 1000 * w.tpot_s.mean),
    "e2el": ("E2EL s", lambda w: w.e2el_s.mean),
}
"""Whole-run means, as the field publishes them: name -> heading, value of a window."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One point on both sides."""

    point: str
    base: dict[str, float]
    head: dict[str, float]
    percent: dict[str, float]
    """Head over base, of the geometric means over runs, less 100."""
    runs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All points of two sets."""

    both: list[Difference]
    new: list[str]
    gone: list[str]
    left_out: dict[str, str]
    """Points that a side has no valid run of, with the reason."""


def compare(base: Sequence[Record], head: Sequence[Record], vary: Sequence[str]) -> Comparison:
    """Compare two record sets.

    Args:
        base: records of one side.
        head: records of the other.
        vary: the parts of the key that are meant to differ: dotted names, or a name above them.

    Raises:
        HarnessError: NOT_COMPARABLE if more differs than is named, or less.
    """
    one, other = _by_point(base), _by_point(head)
    shared = [point for point in one if point in other]
    pairs = [(point, a, b) for point in shared for a in one[point] for b in other[point]]
    _refuse_other_differences(pairs, vary)
    _refuse_other_lists(pairs)
    both, left_out = [], {}
    for point in shared:
        good = [
            [r for r in side if r.status == "measured" and r.whole] for side in (one[point], other[point])
        ]
        if all(good):
            both.append(_difference(point, good[0], good[1]))
        else:
            bad = [
                r
                for side in (one[point], other[point])
                for r in side
                if r.status != "measured" or not r.whole
            ]
            left_out[point] = _reason(bad[0])
    return Comparison(
        both,
        new=[p for p in other if p not in one],
        gone=[p for p in one if p not in other],
        left_out=left_out,
    )


def values(records: Sequence[Record]) -> dict[str, float]:
    """Means over runs, in logs, of each metric."""
    windows = [record.whole for record in records if record.whole]
    return {
        name: math.exp(fmean(math.log(value(w)) for w in windows)) for name, (_, value) in METRICS.items()
    }


def _difference(point: str, base: list[Record], head: list[Record]) -> Difference:
    one, other = values(base), values(head)
    percent = {name: 100 * (other[name] / one[name] - 1) for name in METRICS}
    return Difference(point, one, other, percent, (len(base), len(head)))


def _by_point(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        known = found.setdefault(record.point, [])
        if any(
            (old.allocation, old.arm, old.run_index) == (record.allocation, record.arm, record.run_index)
            for old in known
        ):
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"{record.point} of run {record.run_index + 1} was given twice on one side; name each folder once",
            )
        if known and known[0].key != record.key:
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"one side has {record.point} with two keys, {known[0].key} and {record.key}; name one run's folder",
            )
        known.append(record)
    return found


def _refuse_other_differences(pairs: Sequence[tuple[str, Record, Record]], vary: Sequence[str]) -> None:
    seen: set[str] = set()
    for point, base, head in pairs:
        both_observed = base.observed is not None and head.observed is not None
        one = base.observed.parts if base.observed and both_observed else base.parts
        other = head.observed.parts if head.observed and both_observed else head.parts
        differing = key.differences(one, other)
        unnamed = [part for part in differing if not any(_covers(name, part) for name in vary)]
        if unnamed:
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"{point}: the two sides also differ in {', '.join(unnamed)}; measure them alike, "
                f"or name the difference: {' '.join(f'--vary {part}' for part in unnamed)}",
            )
        seen |= {name for name in vary for part in differing if _covers(name, part)}
    if missing := [name for name in vary if name not in seen]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"--vary names {', '.join(missing)}, and both sides are equal in that; take it out",
        )


def _refuse_other_lists(pairs: Sequence[tuple[str, Record, Record]]) -> None:
    """A point's numbers depend on what its server did before; servers are compared only with equal lists of points."""
    for point, one, other in pairs:
        if one.points_before != other.points_before:
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"{point} came after {len(one.points_before)} points on one side's server and after other ones, "
                f"{len(other.points_before)}, on the other's; measure both sides with the same selection",
            )


def _covers(name: str, part: str) -> bool:
    return part == name or part.startswith(f"{name}.")


def _reason(record: Record) -> str:
    if record.failure:
        return f"{record.failure.reason}: {record.failure.message}"
    return "; ".join(f"{gate.name}: {gate.found}" for gate in record.gates if not gate.passed)
