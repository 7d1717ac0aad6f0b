"""Entries as tables, for a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from matrix.metrics import METRICS, known, three
from utils.show import tables
from utils.show.log import clean
from utils.show.markdown import escape, table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from utils.results.changelog.entries import Entry

Columns = list[tuple[str, str]]


def write_text(stream: TextIO, recipe: str, entries: Sequence[Entry], points: Collection[str]) -> None:
    """A recipe's entries, newest first: what changed, what came of it, and a row a point."""
    for number, entry in enumerate(entries):
        stream.write("\n" if number else "")
        columns, rows = grid(entry, points)
        title = f"{recipe}: {_title(entry)}"
        if rows:
            tables.table(stream, clean(title), columns, [[clean(cell) for cell in row] for row in rows])
        else:
            stream.write(f"{clean(title)}\n")
        stream.writelines(f"  {clean(line)}\n" for line in about(entry, points))


def markdown(recipe: str, entries: Sequence[Entry], points: Collection[str]) -> str:
    """The same for a page or a comment."""
    made = []
    for entry in entries:
        columns, rows = grid(entry, points)
        made.append(f"**{escape(f'{recipe}: {_title(entry)}')}**\n\n")
        made += [f"- {escape(line)}\n" for line in about(entry, points)]
        if rows:
            made.append("\n" + table([name for name, _ in columns], rows))
        made.append("\n")
    return "".join(made)


def grid(entry: Entry, points: Collection[str]) -> tuple[Columns, list[list[str]]]:
    """Columns and a row a point; a column that no row fills is left out."""
    lines = {name: line for name, line in entry.points.items() if name in points}
    figures = known(dict.fromkeys(name for line in lines.values() for name in line.figures))
    columns: Columns = [("point", "left"), ("verdict", "left")]
    for name in figures:
        heading = METRICS[name].heading if name in METRICS else name
        columns += [(heading, "right"), ("change", "right")]
    columns.append(("runs", "left"))
    rows = []
    for name, line in lines.items():
        row = [name, line.word]
        for metric in figures:
            value = line.figures.get(metric)
            row += ["" if value is None else three(value), line.vs.get(metric, "")]
        rows.append([*row, line.n])
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n] for row in rows)]
    return [columns[n] for n in kept], [[row[n] for n in kept] for row in rows]


def about(entry: Entry, points: Collection[str]) -> list[str]:
    """Lines that the table does not say."""
    made = [f"why: {reason}" for reason in entry.why]
    made += [f"changed: {name} {text}" for name, text in entry.changed.items()]
    made += [f"result: {entry.result}"] if entry.result else []
    made += [
        f"claim: {point} {metric} {claim}: {entry.claims.get(point, {}).get(metric, 'not judged yet')}"
        for point, claims in entry.expect.items()
        for metric, claim in claims.items()
        if point in points or not entry.points
    ]
    made += [f"note: {text}" for text in entry.notes]
    made += [f"source: {entry.source}"] if entry.source else []
    made += [f"stale: {entry.stale}"] if entry.stale else []
    return [*made, *(f"missing: {name}: {why}" for name, why in entry.missing.items() if name in points)]


def _title(entry: Entry) -> str:
    number = f"#{entry.pr} " if entry.pr else ""
    return f"{entry.date or 'not measured yet'} {number}{entry.title}"
