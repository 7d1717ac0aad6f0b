"""One step drawn: a row a stream, a bar a kernel, a colour a family."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from utils.profile.timeline import rows_of
from utils.show.log import clean

if TYPE_CHECKING:
    from utils.profile.analyse import Analysis

WIDTH, ROW, LEFT, TOP = 1200, 34, 110, 30
COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#ff9da7", "#9c755f"),
    *("#34495e", "#d37295", "#a0cbe8", "#ffbe7d", "#8cd17d", "#bab0ac"),
)
THINNEST = 0.2
"""Of a bar: a kernel of a microsecond is still to be seen."""


def step(analysis: Analysis, number: int) -> str:
    """A step as SVG; pointing at a bar tells its name and time."""
    rows = rows_of(analysis, number)
    one = analysis.steps.steps[number - 1]
    table, names = analysis.work.table, analysis.names
    length = max(float(table.end[rows].max()) - one.begin, one.end - one.begin) or 1.0
    lanes = sorted(
        {int(lane) for lane in table.lane[rows]}, key=lambda lane: (lane != analysis.steps.main, lane)
    )
    families = list(dict.fromkeys(names.family[int(table.name[row])] for row in rows))
    colour = {family: COLOURS[i % len(COLOURS)] for i, family in enumerate(families)}
    parts = [_words(8, 18, f"step {number} ({one.said.phase}), {length / 1000:,.3f} ms")]
    for place, lane in enumerate(lanes):
        parts.append(_words(8, TOP + place * ROW + 20, f"stream {analysis.trace.lanes[lane][1]}"))
    for row in rows:
        name = int(table.name[row])
        begin = LEFT + WIDTH * max(0.0, float(table.start[row]) - one.begin) / length
        took = float(table.end[row] - table.start[row])
        told = escape(clean(f"{names.name[name][:200]}: {took:,.1f} us ({names.family[name]})"))
        place = TOP + lanes.index(int(table.lane[row])) * ROW
        parts.append(
            f'<rect x="{begin:.2f}" y="{place}" width="{max(THINNEST, WIDTH * took / length):.2f}" height="{ROW - 8}" '
            f'fill="{colour[names.family[name]]}"><title>{told}</title></rect>'
        )
    legend = TOP + len(lanes) * ROW + 10
    for i, family in enumerate(families):
        x, y = LEFT + (i % 5) * 220, legend + (i // 5) * 20
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour[family]}"/>')
        parts.append(_words(x + 18, y + 11, family))
    height = legend + 20 * (len(families) // 5 + 1) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 10} {height}" font-family="sans-serif" font-size="13">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _words(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(clean(text))}</text>'
