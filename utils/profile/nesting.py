"""Operators inside of operators: each one's own time, without what it called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.profile.columns import blocks

if TYPE_CHECKING:
    from utils.profile.columns import Floats, Ints, Table


def parents(table: Table) -> Ints:
    """The operator that each one is inside of, on the same thread; -1 at the top."""
    found = np.empty(len(table), dtype=np.int32)
    stacks: dict[int, list[tuple[float, int]]] = {}
    for part in blocks(len(table)):
        above: list[int] = []
        for number, (start, end, lane) in enumerate(
            zip(table.start[part].tolist(), table.end[part].tolist(), table.lane[part].tolist(), strict=True),
            part.start,
        ):
            stack = stacks.get(lane)
            if stack is None:
                stack = stacks[lane] = []
            while stack and stack[-1][0] <= start:
                stack.pop()
            above.append(stack[-1][1] if stack else -1)
            stack.append((end, number))
        found[part] = above
    return found


def own_time(table: Table, parent: Ints) -> Floats:
    """Durations without those of what is directly inside, in microseconds."""
    own = table.duration
    for part in blocks(len(table)):
        inside = part.start + np.flatnonzero(parent[part] >= 0)
        above = parent[inside]
        shared = np.minimum(table.end[inside], table.end[above]) - table.start[inside]
        np.subtract.at(own, above, shared)
    return own
