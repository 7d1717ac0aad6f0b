"""When a device had work, on how many streams, and whose fault it is that it had none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.columns import blocks
from utils.profile.intervals import by_lane, covered, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from utils.profile.columns import Floats, Ints
    from utils.profile.work import Work


@dataclass(frozen=True)
class Some:
    """Some gaps, and what each waited for."""

    start: Floats
    end: Floats
    before: Ints
    """Row of the work that ended it."""
    called: Floats
    """When the host called for that; NaN if it is not known."""

    def pick(self, which: Ints) -> Some:
        """A few of these."""
        return Some(self.start[which], self.end[which], self.before[which], self.called[which])

    @property
    def starved(self) -> Floats:
        """The part before the host's call: the device could not have begun. NaN if the call is not known."""
        return np.clip(self.called, self.start, self.end) - self.start


@dataclass(frozen=True)
class Gaps:
    """Times between the first and the last work at which nothing ran; found anew each time, for they may be as many as the work."""

    work: Work

    def parts(self) -> Iterator[Some]:
        """All of them in order, a part at a time."""
        table, until = self.work.table, -np.inf
        for part in blocks(len(table)):
            row = part.start + np.flatnonzero(table.end[part] > table.start[part])  # no time ends no gap
            if not len(row):
                continue
            reach = np.maximum.accumulate(np.r_[until, table.end[row]])
            idle = (table.start[row] > reach[:-1]) & (reach[:-1] > -np.inf)
            before = row[idle]
            yield Some(reach[:-1][idle], table.start[before], before, self.work.launched[before])
            until = float(reach[-1])

    def after(self, before: int) -> int:
        """Row of the work that ended last before a gap."""
        ends = self.work.table.end[:before]
        return before - 1 - int(np.argmax(ends[::-1]))


@dataclass(frozen=True)
class Usage:
    """Of each of some windows, in microseconds."""

    busy: Floats
    overlap: Floats
    starved: Floats
    queued: Floats


def usage(found: Gaps, begin: Floats, end: Floats) -> Usage:
    """What the device did in some windows."""
    made = Usage(*(np.zeros(len(begin)) for _ in range(4)))
    for start, reach, lane in _parts(found.work):
        lanes = by_lane(start, reach, lane)
        made.busy[:] += within(covered(lanes, 1), begin, end)
        made.overlap[:] += within(covered(lanes, 2), begin, end)
    for some in found.parts():
        known = ~np.isnan(some.called)
        called = np.clip(some.called[known], some.start[known], some.end[known])
        made.starved[:] += within((some.start[known], called), begin, end)
        made.queued[:] += within((called, some.end[known]), begin, end)
    return made


def _parts(work: Work) -> Iterator[tuple[Floats, Floats, Ints]]:
    """Begin, end and lane of the work of one block after the other; what reaches beyond a block is cut there, and goes on in the next."""
    table, size = work.table, len(work)
    start, lane = np.zeros(0), table.lane[:0]
    end = start
    for part in blocks(size):
        start, end, lane = (
            np.r_[old, new[part]] for old, new in ((start, table.start), (end, table.end), (lane, table.lane))
        )
        until = float(table.start[part.stop]) if part.stop < size else np.inf
        yield start, np.minimum(end, until), lane
        late = np.flatnonzero(end > until)
        late = late[np.argsort(end[late], kind="stable")[::-1]]
        lane, first = np.unique(lane[late], return_index=True)  # of each lane what reaches farthest
        end = end[late[first]]
        start = np.full(len(end), until)
