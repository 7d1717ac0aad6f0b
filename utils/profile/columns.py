"""Millions of events in a few arrays: some 25 bytes each, where an object of its own would take 200.

What is made of them is made a block at a time and a column at a time, so that nothing of their size is held twice.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.integer]
    Flags = NDArray[np.bool_]

NO_LAUNCH = -1
BLOCK = 100_000
"""Rows that are looked at together."""
_SMALL = 1 << 15


@dataclass
class Growing:
    """Events as they are read; times in microseconds since the trace's first event."""

    start: array[float] = field(default_factory=lambda: array("d"))
    end: array[float] = field(default_factory=lambda: array("d"))
    """Empty of launches, as `lane` is: what counts is when they begin."""
    name: array[int] = field(default_factory=lambda: array("i"))
    lane: array[int] = field(default_factory=lambda: array("i"))
    correlation: array[int] = field(default_factory=lambda: array("q"))
    """Empty where nothing has one."""

    def add(self, start: float, end: float, name: int, lane: int) -> None:
        """One more."""
        self.start.append(start)
        self.end.append(end)
        self.name.append(name)
        self.lane.append(lane)

    def take(self, column: str, order: Ints | None, *, small: bool = False) -> NDArray[Any]:
        """A column in some order; it is empty here afterwards, for both need not be held.

        Args:
            column: its name.
            order: of the rows; None if they are in order.
            small: with two bytes a value, where that is enough.
        """
        mine: array[float] = getattr(self, column)
        setattr(self, column, array(mine.typecode))
        if not mine:
            return np.zeros(0, np.dtype(mine.typecode))
        values = np.frombuffer(mine, np.dtype(mine.typecode))
        if small and values.min() >= -_SMALL and values.max() < _SMALL:
            values = values.astype(np.int16)
        return values.copy() if order is None else values[order]

    def clear(self) -> None:
        """None, and their memory back."""
        for column in ("start", "end", "name", "lane", "correlation"):
            self.take(column, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.start)


@dataclass
class Table:
    """Events sorted by their start; of two that start together the longer one is first."""

    start: Floats
    end: Floats
    name: Ints
    lane: Ints
    """Which stream, or which thread."""
    correlation: Ints
    """Empty where nothing has one, or nobody asks any more."""

    @classmethod
    def of(cls, growing: Growing, begin: float) -> Self:
        """Sort what was read; it is empty afterwards."""
        order = _order(np.frombuffer(growing.start), np.frombuffer(growing.end)) if len(growing) else None
        start, end = growing.take("start", order), growing.take("end", order)
        start -= begin
        end -= begin
        name, lane = (growing.take(column, order, small=True) for column in ("name", "lane"))
        return cls(start, end, name, lane, growing.take("correlation", order))

    def pick(self, which: slice | Ints) -> Table:
        """Some of them."""
        correlation = self.correlation[which] if len(self.correlation) else self.correlation
        return Table(self.start[which], self.end[which], self.name[which], self.lane[which], correlation)

    def keep(self, which: Flags) -> None:
        """Only some of them: a column at a time, where a copy would be too large."""
        for column in ("start", "end", "name", "lane", "correlation"):
            if len(values := getattr(self, column)):
                setattr(self, column, values[which])

    @property
    def duration(self) -> Floats:
        """Of each, in microseconds."""
        return self.end - self.start

    def __len__(self) -> int:
        return len(self.start)


@dataclass
class Calls:
    """Launches sorted by correlation, those of one by their start."""

    start: Floats
    name: Ints
    correlation: Ints

    @classmethod
    def of(cls, growing: Growing, begin: float) -> Self:
        """Sort what was read; it is empty afterwards."""
        order = None
        if len(growing):
            order = _order(np.frombuffer(growing.correlation, np.int64), -np.frombuffer(growing.start))
        start = growing.take("start", order)
        start -= begin
        return cls(start, growing.take("name", order, small=True), growing.take("correlation", order))

    @classmethod
    def none(cls) -> Self:
        """No launch."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(np.zeros(0), nothing, nothing)


def blocks(size: int) -> Iterator[slice]:
    """So many rows, a part at a time."""
    return (slice(begin, min(begin + BLOCK, size)) for begin in range(0, size, BLOCK))


def sums(groups: Ints, weights: Floats, size: int) -> Floats:
    """The sum of each group's weights."""
    found = np.zeros(size)
    for part in blocks(len(groups)):
        found += np.bincount(groups[part], weights[part], size)
    return found


def _order(first: Ints | Floats, larger: Floats) -> Ints | None:
    """Rows by one column, and where it is the same by another from large to small; None if they are in order."""
    if _in_order(first, larger):
        return None
    order = np.argsort(first, kind="stable").astype(np.int32)
    same = np.zeros(len(order), dtype=bool)
    for part in blocks(len(order) - 1):
        here = first[order[part.start : part.stop + 1]]
        same[part] = here[1:] == here[:-1]
    if same.any():
        same[1:] |= same[:-1]
        rows = order[same]
        order[same] = rows[np.lexsort((-larger[rows], first[rows]))]
    return order


def _in_order(first: Ints | Floats, larger: Floats) -> bool:
    for part in blocks(len(first) - 1):
        one, then = first[part], first[part.start + 1 : part.stop + 1]
        if not (
            (one < then) | ((one == then) & (larger[part] >= larger[part.start + 1 : part.stop + 1]))
        ).all():
            return False
    return True
