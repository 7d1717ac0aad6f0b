"""When a device had work, on how many streams, and whose fault it is that it had none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.intervals import by_lane, covered, gaps, within

if TYPE_CHECKING:
    from utils.profile.columns import Floats, Ints
    from utils.profile.intervals import Spans
    from utils.profile.work import Work


@dataclass(frozen=True)
class Gaps:
    """Times without any work, and what each waited for."""

    start: Floats
    end: Floats
    after: Ints
    """Row of the work that ended last before it."""
    before: Ints
    """Row of the work that ended it."""
    called: Floats
    """When the host called for that; NaN if it is not known."""
    lanes: list[Spans]
    """When each stream had work."""

    @property
    def starved(self) -> Floats:
        """The part before the host's call: the device could not have begun. NaN if the call is not known."""
        return np.clip(self.called, self.start, self.end) - self.start


@dataclass(frozen=True)
class Usage:
    """Of each of some windows, in microseconds."""

    busy: Floats
    overlap: Floats
    starved: Floats
    queued: Floats


def find_gaps(work: Work) -> Gaps:
    """All times between the first and the last work at which nothing ran."""
    table = work.table
    lanes = by_lane(table.start, table.end, table.lane)
    start, end = gaps(covered(lanes, 1))
    before = np.searchsorted(table.start, end, side="left")
    after = np.argsort(table.end, kind="stable")[before - 1]  # as many have ended before a gap as have begun
    return Gaps(start, end, after, before, work.launched[before], lanes)


def usage(found: Gaps, begin: Floats, end: Floats) -> Usage:
    """What the device did in some windows."""
    known = ~np.isnan(found.called)
    called = np.clip(found.called[known], found.start[known], found.end[known])
    starved = found.start[known], called
    queued = called, found.end[known]
    return Usage(
        within(covered(found.lanes, 1), begin, end),
        within(covered(found.lanes, 2), begin, end),
        within(starved, begin, end),
        within(queued, begin, end),
    )
