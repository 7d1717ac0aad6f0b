"""A table that is too wide for its terminal, in pieces below each other, each with the columns that name a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OF_THE_ONE_BEFORE = {"change", "diff"}
"""Columns that mean nothing without the one at their left."""
NAMES = 0.6
"""Of the width, what columns that name a row may take; else the first alone is repeated."""


def pieces(
    columns: Sequence[tuple[str, str]], width: int, needs: Callable[[Sequence[int]], int]
) -> list[list[int]]:
    """Numbers of the columns of each piece.

    Args:
        columns: names, each with `left` or `right`; those at the left that are `left` name a row.
        width: of the terminal.
        needs: the width of a table of some columns.
    """
    lead = next((n for n, (_, side) in enumerate(columns) if side != "left"), len(columns))
    names = list(range(max(1, lead)))
    if needs(names) > NAMES * width:
        names = [0]
    groups: list[list[int]] = []
    for number in range(len(names), len(columns)):
        if columns[number][0] in OF_THE_ONE_BEFORE and groups:
            groups[-1].append(number)
        else:
            groups.append([number])
    made: list[list[int]] = [[]]
    for group in groups:
        if made[-1] and needs([*names, *made[-1], *group]) > width:
            made.append([])
        made[-1] += group
    return [[*names, *piece] for piece in made]
