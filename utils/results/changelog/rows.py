"""Points of an entry as aligned rows: what a reviewer wants is in the first `WIDTH` columns of a diff."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.metrics import JUDGED, METRICS, known
from utils.results.changelog.cells import number
from utils.results.changelog.lines import mapping, scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.changelog.entries import PointLine

WIDTH = 120
"""Columns of a diff that a reader of GitHub sees without scrolling."""
LEAD = JUDGED[:3]
"""Metrics that stand within it."""


def heading(points: Mapping[str, PointLine]) -> str:
    """The line above the rows, with the units of their figures."""
    names = known(dict.fromkeys(name for line in points.values() for name in line.figures))
    units = ", ".join(f"{name} {METRICS[name].unit}" for name in names if name in METRICS)
    change = ", each with its change to the base" if any(line.vs for line in points.values()) else ""
    return f"  points:  # means of whole runs ({units}){change}\n"


def written(points: Mapping[str, PointLine]) -> list[str]:
    """The rows of an entry's points, aligned; where they are too wide, the names of metrics in verdicts go first, then the padding."""
    parts = {name: _parts(line) for name, line in points.items()}
    columns = known(dict.fromkeys(name for one in parts.values() for name in one.cells))
    if _lead(parts, columns) > WIDTH:
        parts = {name: replace(one, word=_short(one.word)) for name, one in parts.items()}
    if _lead(parts, columns) > WIDTH:
        return [
            row
            for name, one in parts.items()
            for row in _aligned({name: one}, [column for column in columns if column in one.cells])
        ]
    return _aligned(parts, columns)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A row's pieces."""

    word: str
    cells: dict[str, tuple[str, str]]
    """Metric -> figure and change."""
    rest: list[str]


def _widths(parts: Mapping[str, _Parts], column: str) -> list[int]:
    """Of a metric's figures and of its changes."""
    cells = [one.cells[column] for one in parts.values() if column in one.cells]
    return [max(len(cell[n]) for cell in cells) for n in (0, 1)]


def _lead(parts: Mapping[str, _Parts], columns: Sequence[str]) -> int:
    """Columns up to the end of the last figure that is to be seen without scrolling."""
    word = max((len(one.word) for one in parts.values()), default=0)
    figures = [
        len(name) + 4 + sum(widths) + bool(widths[1])
        for name in columns
        if name in LEAD and (widths := _widths(parts, name))
    ]
    return max(map(len, parts), default=0) + 7 + (word + 11 if word else 0) + sum(figures)


def _aligned(parts: Mapping[str, _Parts], columns: Sequence[str]) -> list[str]:
    first = max(map(len, parts), default=0)
    word = max((len(one.word) for one in parts.values()), default=0)
    rows = []
    for name, one in parts.items():
        texts = [f"verdict: {one.word},".ljust(word + 10) if one.word else " " * (word + 10)] if word else []
        texts += [_cell(column, one.cells.get(column), _widths(parts, column)) for column in columns]
        rows.append(f"    {name}:{' ' * (first - len(name))} {{{' '.join(texts)} {', '.join(one.rest)}}}\n")
    return rows


def _short(word: str) -> str:
    """Without the metrics that it is of."""
    match = re.match(r"regression|improvement", word)
    return match[0] if match else word


def _parts(line: PointLine) -> _Parts:
    cells = {name: (number(value), line.vs.get(name, "")) for name, value in line.figures.items()}
    rest = [f"n: {line.n}"]
    if line.reused:
        rest.append("reused: true")
    rest.append(f'key: "{line.key}"')
    if line.verdict:
        rest.append(f"judged: {mapping({name: scalar(text) for name, text in line.verdict.items()})}")
    if line.accuracy:
        rest.append(f"accuracy: {mapping({task: scalar(said) for task, said in line.accuracy.items()})}")
    if left := {name: change for name, change in line.vs.items() if name not in cells}:
        rest.append(f"vs: {mapping(left)}")
    return _Parts(line.word, cells, rest)


def _cell(name: str, cell: tuple[str, str] | None, widths: Sequence[int]) -> str:
    """A figure and its change, as wide as its column."""
    value, change = cell or ("", "")
    text = f"{name}: {value.rjust(widths[0])} {change.rjust(widths[1])}".rstrip() + "," if cell else ""
    return text.ljust(len(name) + 3 + sum(widths) + bool(widths[1]))
