"""Steps: where each begins and ends on the device, what it was, and which work is its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.rules import UNSAID, Said

if TYPE_CHECKING:
    from utils.profile.columns import Flags, Floats, Ints, Table
    from utils.profile.rules import Rules
    from utils.profile.trace import Trace
    from utils.profile.work import Work

OUTSIDE = -1
ALIKE = 0.5
"""How far parts between two anchors may scatter in their number of kernels (deviation by mean) and still be steps."""
LEAST_ANCHORS = 3


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
    order: Ints
    """Rows of the work by owner, each owner's in order of time."""
    bounds: Ints
    """Where each step's begin in it."""

    def rows(self, index: int) -> Ints:
        """A step's own work, in order of time."""
        return self.order[self.bounds[index] : self.bounds[index + 1]]


@dataclass(frozen=True)
class _Marks:
    """Annotations of steps, in order."""

    start: Floats
    end: Floats
    said: list[Said]


def find(trace: Trace, work: Work, rules: Rules) -> Steps:
    """A trace's steps: from annotations, else from what comes back, else all of it as one."""
    on_host, on_device = _marks(trace, trace.notes, rules), _marks(trace, trace.device_notes, rules)
    lanes = np.unique(work.table.lane)
    main = int(max(lanes, key=lambda lane: float(work.own[work.table.lane == lane].sum())))
    if on_host.said or on_device.said:
        owner = _owners(work, on_host, on_device)
        marks = on_host if on_host.said else on_device
        side = "" if on_host.said else " on the device's side alone"
        how = f"from the annotations of {marks.said[0].engine}{side}"
        if (made := _made(work, owner, marks.said, main, how)).steps:
            return made
    if (found := _come_back(trace, work, main)) is not None:
        starts, name = found
        owner = np.searchsorted(starts, work.table.start, side="right") - 1
        how = (
            f"no annotation of a step that has work: taken from what comes back, each from one `{name[:80]}` to the next; "
            "what a step was (prefill, decode) is not known"
        )
        return _made(work, owner, [Said("", UNSAID)] * len(starts), main, how)
    how = "no annotation of a step that has work, and nothing that comes back evenly: the whole trace is shown as one step"
    return _made(work, np.zeros(len(work), np.int64), [Said("", UNSAID)], main, how)


def _marks(trace: Trace, notes: Table, rules: Rules) -> _Marks:
    """Annotations of steps; those inside of another, or of the same step on another stream, are one with it."""
    known = [rules.step(name) for name in trace.names]
    start: list[float] = []
    end: list[float] = []
    said: list[Said] = []
    rows = [int(row) for row in np.flatnonzero(np.array([one is not None for one in known])[notes.name])]
    for row in rows:
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
    return _Marks(np.array(start), np.array(end), said)


def _owners(work: Work, on_host: _Marks, on_device: _Marks) -> Ints:
    """Each piece of work's step: that in which the host called for it; where no call is known, that in whose time it is."""
    known = ~np.isnan(work.launched)
    owner = np.full(len(work), OUTSIDE, dtype=np.int64)
    if on_host.said:
        owner[known] = _within_reach(on_host, work.launched[known])
    unsure = ~known if on_host.said else np.ones(len(work), dtype=bool)
    sides = on_device if len(on_device.said) == len(on_host.said) or not on_host.said else on_host
    owner[unsure] = _within_reach(sides, work.table.start[unsure])
    return owner


def _within_reach(marks: _Marks, when: Floats) -> Ints:
    """The last step that began before a time; nothing is the last step's that comes later than a step usually takes."""
    found: Ints = np.searchsorted(marks.start, when, side="right") - 1
    usual = float(np.median(np.diff(marks.start))) if len(marks.said) > 1 else np.inf
    late = when > max(float(marks.start[-1]) + usual, float(marks.end[-1]))
    found[late] = OUTSIDE
    return found


def _come_back(trace: Trace, work: Work, main: int) -> tuple[Floats, str] | None:
    """Begins of what looks like steps: the name that comes back most seldom, if what is between is alike each time."""
    on_main = np.flatnonzero(work.table.lane == main)
    names = work.table.name[on_main]
    counts = Counter(names.tolist())
    several = sorted({count for count in counts.values() if count >= LEAST_ANCHORS})
    first = {name: at for at, name in reversed(list(enumerate(names.tolist())))}
    for count in several:
        for name in sorted((one for one in counts if counts[one] == count), key=lambda one: first[one]):
            at = np.flatnonzero(names == name)
            between = np.diff(at)
            enough = at[-1] - at[0] >= len(names) / 2
            if enough and between.min() > 1 and between.std() <= ALIKE * between.mean():
                return work.table.start[on_main[at]], trace.names[name]
    return None


def _made(work: Work, owner: Ints, said: list[Said], main: int, how: str) -> Steps:
    """Steps with their windows; one without any work on a device is none."""
    begins: list[float] = []
    kept: list[int] = []
    ends: list[float] = []
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(said) + 1))
    on_main: Flags = work.table.lane == main
    for number in range(len(said)):
        mine = order[bounds[number] : bounds[number + 1]]
        first = mine[on_main[mine]]
        if len(first):
            kept.append(number)
            begins.append(float(work.table.start[first].min()))
            ends.append(float(work.table.end[mine].max()))
    by_time = sorted(range(len(kept)), key=lambda one: begins[one])
    steps: list[Step] = []
    renumbered = np.full(len(said) + 1, OUTSIDE, dtype=np.int64)
    for position, one in enumerate(by_time):
        has_next = position + 1 < len(by_time)
        end = begins[by_time[position + 1]] if has_next else ends[one]
        steps.append(Step(position + 1, said[kept[one]], begins[one], end, has_next))
        renumbered[kept[one]] = position
    empty = len(said) - len(steps)
    how = f"{len(steps)}, {how}" + (f"; {empty} more without work" if empty else "")
    owner = renumbered[owner]
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(steps) + 1))
    return Steps(steps, owner, main, how, order, bounds)
