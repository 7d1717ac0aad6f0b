"""Millions of events in a few arrays: some 30 bytes each, where an object of its own would take 200."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

NO_LAUNCH = -1


@dataclass
class Growing:
    """Events as they are read; times in microseconds since the trace's first event."""

    start: array[float] = field(default_factory=lambda: array("d"))
    end: array[float] = field(default_factory=lambda: array("d"))
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

    def clear(self) -> None:
        """None, and their memory back."""
        for one in fields(self):
            setattr(self, one.name, array(getattr(self, one.name).typecode))

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Table:
    """Events sorted by their start; of two that start together the longer one is first."""

    start: Floats
    end: Floats
    name: Ints
    lane: Ints
    """Which stream, or which thread."""
    correlation: Ints

    @classmethod
    def of(cls, growing: Growing, begin: float) -> Self:
        """Sort what was read, a column at a time; it is empty afterwards, for both need not be held."""
        start = np.array(growing.start)
        order = np.lexsort((-np.frombuffer(growing.end), start)) if len(growing) else np.zeros(0, np.int64)
        columns: list[Any] = [start[order] - begin]
        del start
        growing.start = array("d")
        for name in ("end", "name", "lane", "correlation"):
            column = getattr(growing, name)
            setattr(growing, name, array(column.typecode))
            has_none = name == "correlation" and not column
            columns.append(_nothing(len(order)) if has_none else np.array(column)[order])
        columns[1] -= begin
        return cls(*columns)

    def pick(self, which: Flags | Ints) -> Table:
        """Some of them."""
        size = int(which.sum()) if which.dtype == np.bool_ else len(which)
        has_none = self.correlation.strides == (0,)
        correlation = _nothing(size) if has_none else self.correlation[which]
        return Table(self.start[which], self.end[which], self.name[which], self.lane[which], correlation)

    @property
    def duration(self) -> Floats:
        """Of each, in microseconds."""
        return self.end - self.start

    def __len__(self) -> int:
        return len(self.start)


def _nothing(size: int) -> Ints:
    """A column without a correlation in it, and without memory."""
    return np.broadcast_to(np.int64(NO_LAUNCH), (size,))
