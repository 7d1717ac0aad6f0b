"""Steps: where each begins and ends on the device, what it was, and which work is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from utils.profile.columns import blocks, sums
from utils.profile.rules import UNSAID, Said
from utils.profile.source import unreadable

if TYPE_CHECKING:
    from utils.profile.columns import Floats, Ints, Table
    from utils.profile.rules import Rules
    from utils.profile.trace import Trace
    from utils.profile.work import Work

OUTSIDE = -1
ALIKE = 0.5
"""How far parts between two anchors may scatter in their number of kernels (deviation by mean) and still be steps."""
LEAST_ANCHORS = 3
MOST_STEPS = 100_000
"""Of a trace: each is an object of its own, some 1 KB."""


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass, with all that was called for until the next one's."""

    number: int
    said: Said
    begin: float
    """Of its first kernel on the stream that does most, in microseconds since the trace began."""
    end: float
    """Of the next one's begin; of the last one's own work."""
    has_next: bool


@dataclass(frozen=True)
class Steps:
    """All of a trace."""

    steps: list[Step]
    owner: Ints
    """Of each piece of work; `OUTSIDE` where no step called for it."""
    main: int
    """The lane that does most."""
    how: str
    """How they were found, in words."""
    owned: _Owned

    def rows(self, index: int) -> slice | Ints:
        """A step's own work, in order of time."""
        return self.owned.rows(index)


@dataclass(frozen=True)
class _Owned:
    """Rows of work by owner, each owner's in order of time."""

    order: Ints | None
    """None where the work is in order of owners already, but for what no step called for at both ends."""
    bounds: Ints
    """Where each owner's begin in it."""

    @classmethod
    def of(cls, owner: Ints, count: int) -> Self:
        """By the owner of each row."""
        inside = owner != OUTSIDE
        first, last = int(np.argmax(inside)), len(inside) - int(np.argmax(inside[::-1]))
        between = owner[first:last]
        if (between[1:] >= between[:-1]).all():
            return cls(None, first + np.searchsorted(between, np.arange(count + 1, dtype=owner.dtype)))
        order = np.argsort(owner, kind="stable").astype(np.int32)
        sizes = sums(owner + 1, np.broadcast_to(1.0, len(owner)), count + 1)
        return cls(order, np.cumsum(sizes).astype(np.int64))

    def rows(self, index: int) -> slice | Ints:
        """An owner's; a slice where they follow each other, so that nothing need be copied."""
        begin, end = self.bounds[index : index + 2].tolist()
        return slice(begin, end) if self.order is None else self.order[begin:end]


@dataclass(frozen=True)
class _Marks:
    """Annotations of steps, in order."""

    start: Floats
    end: Floats
    said: list[Said]


def find(trace: Trace, work: Work, rules: Rules) -> Steps:
    """A trace's steps: from annotations, else from what comes back, else all of it as one."""
    on_host, on_device = _marks(trace, trace.notes, rules), _marks(trace, trace.device_notes, rules)
    main = int(np.argmax(work.lanes_us(len(trace.lanes))))
    if on_host.said or on_device.said:
        owner = _owners(work, on_host, on_device)
        marks = on_host if on_host.said else on_device
        side = "" if on_host.said else " on the device's side alone"
        how = f"from the annotations of {marks.said[0].engine}{side}"
        if (made := _made(work, owner, marks.said, main, how)).steps:
            return made
    if (found := _come_back(trace, work, main)) is not None:
        starts, name, whole = found
        owner = _last_before(starts, work.table.start)
        owner[owner >= whole] = OUTSIDE
        how = (
            f"no annotation of a step that has work: taken from what comes back, each from one `{name[:80]}` to the next; "
            "what a step was (prefill, decode) is not known"
            + (
                "; after the last one less than a step follows, which is left out"
                if whole < len(starts)
                else ""
            )
        )
        return _made(work, owner, [Said("", UNSAID)] * whole, main, how)
    how = "no annotation of a step that has work, and nothing that comes back evenly: the whole trace is shown as one step"
    return _made(work, np.zeros(len(work), np.int32), [Said("", UNSAID)], main, how)


def _marks(trace: Trace, notes: Table, rules: Rules) -> _Marks:
    """Annotations of steps; those inside of another, or of the same step on another stream, are one with it."""
    known = [rules.step(name) for name in trace.names]
    start: list[float] = []
    end: list[float] = []
    said: list[Said] = []
    of_a_step = np.array([one is not None for one in known], dtype=bool)
    for row in np.flatnonzero(of_a_step[notes.name]).tolist():
        one = known[int(notes.name[row])]
        if one is None:
            continue
        begins, ends = float(notes.start[row]), float(notes.end[row])
        if said and begins < end[-1] and (one == said[-1] or ends <= end[-1]):
            end[-1] = max(end[-1], ends)
            continue
        start.append(begins)
        end.append(ends)
        said.append(one)
        if len(said) > MOST_STEPS:
            raise unreadable(
                trace.path,
                f"has more than {MOST_STEPS:,} steps, and the mean of so many says no more than that of ten; record fewer",
            )
    return _Marks(np.array(start), np.array(end), said)


def _owners(work: Work, on_host: _Marks, on_device: _Marks) -> Ints:
    """Each piece of work's step: that in which the host called for it; where no call is known, that in whose time it is."""
    owner = np.empty(len(work), dtype=np.int32)
    sides = on_device if len(on_device.said) == len(on_host.said) or not on_host.said else on_host
    for part in blocks(len(work)):
        found = _within_reach(sides, work.table.start[part])
        if on_host.said:
            called = work.launched[part]
            found = np.where(np.isnan(called), found, _within_reach(on_host, called))
        owner[part] = found
    return owner


def _within_reach(marks: _Marks, when: Floats) -> Ints:
    """The last step that began before a time; nothing is the last step's that comes later than a step usually takes."""
    found: Ints = np.searchsorted(marks.start, when, side="right") - 1
    usual = float(np.median(np.diff(marks.start))) if len(marks.said) > 1 else np.inf
    late = when > max(float(marks.start[-1]) + usual, float(marks.end[-1]))
    found[late] = OUTSIDE
    return found


def _last_before(starts: Floats, when: Floats) -> Ints:
    """The last of some starts before each time."""
    found = np.empty(len(when), dtype=np.int32)
    for part in blocks(len(when)):
        found[part] = np.searchsorted(starts, when[part], side="right") - 1
    return found


def _come_back(trace: Trace, work: Work, main: int) -> tuple[Floats, str, int] | None:
    """Begins of what looks like steps: the name that comes back most seldom, if what is between is alike each time.

    Returns:
        The begins, the name, and how many of them begin a whole step: what follows the last one may be its first part alone.
    """
    on_main = np.flatnonzero(work.table.lane == main)
    names = work.table.name[on_main]
    by_name = np.argsort(names, kind="stable").astype(np.int32)
    known, counts = np.unique(names, return_counts=True)
    ends = np.cumsum(counts)
    first = by_name[ends - counts]
    for one in np.lexsort((first, counts)).tolist():
        if LEAST_ANCHORS <= counts[one] <= MOST_STEPS:
            at = by_name[ends[one] - counts[one] : ends[one]]
            between = np.diff(at)
            enough = at[-1] - at[0] >= len(names) / 2
            if enough and between.min() > 1 and between.std() <= ALIKE * between.mean():
                whole = len(at) if len(names) - at[-1] >= between.min() else len(at) - 1
                return work.table.start[on_main[at]], trace.names[known[one]], whole
    return None


def _made(work: Work, owner: Ints, said: list[Said], main: int, how: str) -> Steps:
    """Steps with their windows; one without any work on a device is none."""
    begins: list[float] = []
    kept: list[int] = []
    ends: list[float] = []
    owned = _Owned.of(owner, len(said))
    for number in range(len(said)):
        mine = owned.rows(number)
        on_main = work.table.lane[mine] == main
        if on_main.any():
            kept.append(number)
            begins.append(float(work.table.start[mine][np.argmax(on_main)]))
            ends.append(float(work.table.end[mine].max()))
    by_time = sorted(range(len(kept)), key=lambda one: begins[one])
    steps: list[Step] = []
    renumbered = np.full(len(said) + 1, OUTSIDE, dtype=np.int32)
    for position, one in enumerate(by_time):
        has_next = position + 1 < len(by_time)
        end = begins[by_time[position + 1]] if has_next else ends[one]
        steps.append(Step(position + 1, said[kept[one]], begins[one], end, has_next))
        renumbered[kept[one]] = position
    empty = len(said) - len(steps)
    how = f"{len(steps)}, {how}" + (f"; {empty} more without work" if empty else "")
    owner = renumbered[owner]
    return Steps(steps, owner, main, how, _Owned.of(owner, len(steps)))
