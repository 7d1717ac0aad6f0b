"""One step in order of time: each kernel, and each gap with whose fault it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matrix.errors import Exit, HarnessError
from utils.profile.present import Block, short

if TYPE_CHECKING:
    from utils.profile.analyse import Analysis
    from utils.profile.idle import Some

COLUMNS = [
    *((name, "right") for name in ("at us", "us", "stream")),
    ("family", "left"),
    ("kernel", "left"),
]


def rows_of(analysis: Analysis, number: int) -> list[int]:
    """The step's work, in order of time.

    Raises:
        HarnessError: there is no such step.
    """
    steps = analysis.steps.steps
    if not 1 <= number <= len(steps):
        raise HarnessError(Exit.NOTHING_SELECTED, f"no step {number} in this trace: it has 1 to {len(steps)}")
    mine = analysis.steps.rows(number - 1)
    return list(range(mine.start, mine.stop)) if isinstance(mine, slice) else mine.tolist()


def step(analysis: Analysis, number: int) -> Block:
    """A step's table; of a trace without a GPU operators that called others are shown with all of their time."""
    rows = rows_of(analysis, number)
    one = analysis.steps.steps[number - 1]
    table, names = analysis.work.table, analysis.names
    before = {
        int(gaps.before[row]): gaps.pick(np.array([row]))
        for gaps in analysis.gaps.parts()
        for row in np.flatnonzero(np.isin(gaps.before, rows)).tolist()
    }
    lines: list[list[str]] = []
    for row in rows:
        at = float(table.start[row]) - one.begin
        if (gap := before.get(row)) is not None and gap.start[0] >= one.begin:
            lines.append(_gap(gap, one.begin))
        name = int(table.name[row])
        stream = analysis.trace.lanes[int(table.lane[row])][1]
        duration = float(table.end[row] - table.start[row])
        lines.append([f"{at:,.1f}", f"{duration:,.1f}", stream, names.family[name], short(names.name[name])])
    said = f"{one.said.phase}, {one.said.tokens} tokens" if one.said.tokens is not None else one.said.phase
    return Block(
        f"Step {number} of {len(analysis.steps.steps)} ({said}), {(one.end - one.begin) / 1000:,.3f} ms",
        COLUMNS,
        lines,
    )


def _gap(one: Some, begin: float) -> list[str]:
    start, length, starved = float(one.start[0]), float(one.end[0] - one.start[0]), float(one.starved[0])
    why = "launch not known" if np.isnan(starved) else f"host-starved {starved:,.1f}"
    return [f"{start - begin:,.1f}", f"{length:,.1f}", "", "idle", why]
