"""Operators inside of operators: each one's own time, without what it called."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.profile.columns import Floats, Ints, Table

BLOCK = 100_000


def parents(table: Table) -> Ints:
    """The operator that each one is inside of, on the same thread; -1 at the top."""
    found = array("q")
    stacks: dict[int, list[tuple[float, int]]] = {}
    for begin in range(0, len(table), BLOCK):
        block = slice(begin, begin + BLOCK)
        for number, (start, end, lane) in enumerate(
            zip(
                table.start[block].tolist(),
                table.end[block].tolist(),
                table.lane[block].tolist(),
                strict=True,
            ),
            begin,
        ):
            stack = stacks.get(lane)
            if stack is None:
                stack = stacks[lane] = []
            while stack and stack[-1][0] <= start:
                stack.pop()
            found.append(stack[-1][1] if stack else -1)
            stack.append((end, number))
    return np.array(found, dtype=np.int64)


def own_time(table: Table, parent: Ints) -> Floats:
    """Durations without those of what is directly inside, in microseconds."""
    own = table.duration
    inside = parent >= 0
    above = parent[inside]
    shared = np.minimum(table.end[inside], table.end[above]) - table.start[inside]
    np.subtract.at(own, above, shared)
    return own
