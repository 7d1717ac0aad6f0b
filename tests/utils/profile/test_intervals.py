from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.profile import columns
from utils.profile.columns import Growing, Table
from utils.profile.idle import Gaps, usage
from utils.profile.intervals import by_lane, covered, union, within
from utils.profile.work import Work

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=25
)


def gaps(spans: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What is between them."""
    return spans[1][:-1], spans[0][1:]


@given(SPANS, st.tuples(st.integers(-5, 70), st.integers(0, 70)))
def test_union_overlap_and_gaps_are_those_of_a_brute_force_timeline(
    spans: list[tuple[int, int, int]], window: tuple[int, int]
) -> None:
    """Every microsecond is looked at: how many streams have work in it."""
    spans = sorted(spans)
    streams: list[set[int]] = [set() for _ in range(80)]
    for begin, length, lane in spans:
        for when in range(begin, begin + length):
            streams[when].add(lane)
    start = np.array([one[0] for one in spans], dtype=float)
    end = start + np.array([one[1] for one in spans], dtype=float)
    lanes = by_lane(start, end, np.array([one[2] for one in spans]))
    first, last = window[0], window[0] + window[1]
    for least in (1, 2):
        found = covered(lanes, least)
        assert sum(found[1] - found[0]) == sum(len(one) >= least for one in streams)
        inside = sum(len(streams[when]) >= least for when in range(max(first, 0), min(last, 80)))
        assert within(found, np.array([float(first)]), np.array([float(last)]))[0] == inside
    busy = [when for when, one in enumerate(streams) if one]
    idle = sum(not streams[when] for when in range(busy[0], busy[-1])) if busy else 0
    between = gaps(covered(lanes, 1))
    assert sum(between[1] - between[0]) == idle
    assert all(between[1] > between[0])


def test_what_touches_is_one() -> None:
    """No gap of no length between two kernels that follow each other at once; and one of no length is nothing."""
    start, end = union(np.array([0.0, 1.0, 3.0, 9.0]), np.array([1.0, 3.0, 4.0, 9.0]))
    assert (start.tolist(), end.tolist()) == ([0.0], [4.0])


@given(SPANS, st.integers(1, 9))
def test_blocks_of_any_size_tell_the_same(spans: list[tuple[int, int, int]], block: int) -> None:
    """Busy, overlap and gaps of work that goes on over a block's border are those of one block."""
    rows = sorted(spans, key=lambda one: (one[0], -one[1]))
    start = np.array([one[0] for one in rows], dtype=float)
    end = start + np.array([one[1] for one in rows], dtype=float)
    lane = np.array([one[2] for one in rows], dtype=np.int16)
    table = Table(start, end, np.zeros(len(rows), np.int16), lane, np.zeros(0, np.int64))
    called = start - np.arange(len(rows)) % 5.0
    work = Work(table, table.duration, called, np.zeros(len(rows), bool), 0.0, "0")
    windows = np.array([0.0, 10.0, 33.0]), np.array([10.0, 33.0, 80.0])
    lanes = by_lane(start, end, lane)
    whole = gaps(covered(lanes, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK", block)
        found = Gaps(work)
        used = usage(found, *windows)
        parts = list(found.parts())
    starts, ends, rows_before = (
        [value for one in parts for value in getattr(one, column).tolist()]
        for column in ("start", "end", "before")
    )
    assert (starts, ends) == (whole[0].tolist(), whole[1].tolist())
    assert used.busy.tolist() == within(covered(lanes, 1), *windows).tolist()
    assert used.overlap.tolist() == within(covered(lanes, 2), *windows).tolist()
    assert sum(used.starved + used.queued) == sum(within(whole, *windows))
    for until, row in zip(ends, rows_before, strict=True):
        assert end[found.after(row)] == max(end[:row]) <= start[row]
        assert start[row] == until


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=40), st.integers(1, 9))
def test_events_are_sorted_by_start_and_the_longer_one_first(
    events: list[tuple[int, int]], block: int
) -> None:
    """Whatever order they came in; of two that are alike the first stays the first."""
    growing = Growing()
    for number, (start, length) in enumerate(events):
        growing.add(start, start + length, number, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK", block)
        table = Table.of(growing, 0.0)
    order = sorted(range(len(events)), key=lambda one: (events[one][0], -events[one][1]))
    assert table.name.tolist() == order
    assert table.start.tolist() == [events[one][0] for one in order]
