"""Time as sets of intervals: unions and overlaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.profile.columns import Floats, Ints

    Spans = tuple[Floats, Floats]
    """Begins and ends, disjoint and in order."""


def union(start: Floats, end: Floats) -> Spans:
    """Where at least one of some intervals is; `start` is in order."""
    if not len(start):
        return start, end
    reach = np.maximum.accumulate(end)
    begins = np.r_[True, start[1:] > reach[:-1]]
    return _some(start[begins], reach[np.r_[begins[1:], True]])


def by_lane(start: Floats, end: Floats, lane: Ints) -> list[Spans]:
    """The union of each stream alone: on one stream kernels may overlap a little, and are still one stream."""
    order = np.argsort(lane, kind="stable")
    borders = np.flatnonzero(np.diff(lane[order])) + 1
    return [union(start[rows], end[rows]) for rows in np.split(order, borders)]


def covered(lanes: list[Spans], least: int) -> Spans:
    """Where at least so many of some sets are."""
    if len(lanes) < least:
        return np.zeros(0), np.zeros(0)
    if len(lanes) == 1:
        return lanes[0]
    starts, ends = (np.concatenate([one[side] for one in lanes]) for side in (0, 1))
    at = np.r_[starts, ends]
    change = np.r_[np.ones(len(starts), dtype=np.int64), -np.ones(len(ends), dtype=np.int64)]
    order = np.lexsort(
        (-change, at)
    )  # at the same time first what begins, so that touching intervals are one
    at, depth = at[order], np.cumsum(change[order])
    before = np.r_[0, depth[:-1]]
    return _some(at[(before < least) & (depth >= least)], at[(before >= least) & (depth < least)])


def _some(start: Floats, end: Floats) -> Spans:
    """Without those of no length."""
    long = end > start
    return start[long], end[long]


def within(spans: Spans, begin: Floats, end: Floats) -> Floats:
    """How much of a set lies in each of some windows."""
    return _before(spans, end) - _before(spans, begin)


def _before(spans: Spans, when: Floats) -> Floats:
    """How much of a set lies before each time."""
    start, end = spans
    if not len(start):
        return np.zeros(len(when))
    total = np.r_[0.0, np.cumsum(end - start)]
    at = np.searchsorted(start, when, side="right")
    over = np.where(at > 0, np.maximum(end[np.maximum(at, 1) - 1] - when, 0.0), 0.0)
    found: Floats = total[at] - over
    return found
