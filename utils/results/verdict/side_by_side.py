"""Several heads in one table: a row a point and metric, a column a head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

from matrix.metrics import METRICS
from utils.results.verdict.present import change_in_percent, verdict_text
from utils.show import tables
from utils.show.log import clean
from utils.show.markdown import escape, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.verdict.outcome import Comparison, MetricVerdict


def columns(found: Mapping[str, Comparison]) -> list[tuple[str, str]]:
    """Headings: what is compared, and each head by its name."""
    return [
        ("point", "left"),
        ("metric", "left"),
        ("base", "right"),
        *((clean(name), "left") for name in found),
    ]


def rows(found: Mapping[str, Comparison]) -> list[list[str]]:
    """Every figure that some head has; the base's is that of the first that has one, and others are beside it where they differ."""
    by_head = [
        {(p.point, m): one for p in said.points for m, one in p.metrics.items()} for said in found.values()
    ]
    places = dict.fromkeys(where for figures in by_head for where in figures)
    made = []
    for point, name in places:
        ones = [figures.get((point, name)) for figures in by_head]
        base = next((one.base for one in ones if one and one.base is not None), None)
        metric = METRICS[name]
        shown = metric.shown(base) if base is not None else ""
        made.append([point, metric.about, shown, *(_cell(one, name, base) for one in ones)])
    return made


def _cell(one: MetricVerdict | None, name: str, base: float | None) -> str:
    if one is None:
        return ""
    if one.head is None or one.percent is None or one.base is None:
        return verdict_text(one)
    metric = METRICS[name]
    own = "" if metric.shown(one.base) == metric.shown(base or 0.0) else f"{metric.shown(one.base)} → "
    word = one.word or ("flagged" if one.flagged else "no word")
    return f"{own}{metric.shown(one.head)} ({change_in_percent(one.percent, one.word)} %): {word}"


def write(stream: TextIO, found: Mapping[str, Comparison], form: str) -> None:
    """As text, Markdown or JSON: name -> comparison."""
    if form == "json":
        body = {name: json.loads(one.to_json()) for name, one in found.items()}
        stream.write(json.dumps(body, indent=1) + "\n")
        return
    lines: Sequence[str] = [f"{name}: {one.headline.text}" for name, one in found.items()]
    if form == "markdown":
        stream.write(table([escape(name) for name, _ in columns(found)], rows(found)) + "\n")
        stream.writelines(f"- {escape(line)}\n" for line in lines)
        return
    tables.table(
        stream, "Steady window, several heads", columns(found), [list(map(clean, row)) for row in rows(found)]
    )
    stream.writelines(f"{clean(' '.join(line.split()))}\n" for line in lines)
