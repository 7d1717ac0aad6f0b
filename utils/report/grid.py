"""The table of a page: columns of numbers, and of words as numbers into a list, so that ten thousand rows stay small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_CHOICES = 60
"""Words of a column that one can choose from."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    kind: str = "words"
    """`words`, `number` (three significant figures) or `count`."""
    choose: bool = False
    """Whether rows can be chosen by its words."""


def coded(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """Columns as the page's script and template want them, and rows with words coded; numbers keep six significant figures."""
    about: list[dict[str, Any]] = []
    codes: list[dict[str, int]] = [{} for _ in columns]
    lines = []
    for row in rows:
        line: list[Any] = []
        for n, cell in enumerate(row):
            if columns[n].kind == "words":
                line.append(codes[n].setdefault(str(cell), len(codes[n])))
            elif columns[n].kind == "number":
                line.append(None if cell is None else float(f"{cell:.6g}"))
            else:
                line.append(cell)
        lines.append(line)
    for n, column in enumerate(columns):
        words = list(codes[n]) if column.kind == "words" else None
        about.append(
            {
                "at": n,
                "name": column.name,
                "number": column.kind == "number",
                "count": column.kind == "count",
                "words": words,
                "filter": bool(column.choose and words and 1 < len(words) <= MOST_CHOICES),
                "hidden": False,
            }
        )
    return about, lines
