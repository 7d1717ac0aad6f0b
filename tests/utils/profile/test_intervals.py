from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from utils.profile.intervals import by_lane, covered, gaps, union, within

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=25
)


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
