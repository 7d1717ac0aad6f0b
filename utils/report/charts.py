"""The one definition of each picture: page, comment and docs draw from these. Runs in the environment of requirements/report.lock."""

from __future__ import annotations

from typing import Any

import altair as alt

from utils.report.theme import HEIGHT, QUIET, SERIES, SHAPES, WIDTH

Rows = list[dict[str, Any]]


def _series(rows: Rows) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of an arm or recipe, in the order of the rows."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    wanted = {"domain": names, "range": [SERIES[n % len(SERIES)] for n in range(len(names))]}
    shapes = {"domain": names, "range": [SHAPES[n % len(SHAPES)] for n in range(len(names))]}
    legend = alt.Legend() if len(names) > 1 else None
    return (
        alt.Color("series:N", scale=alt.Scale(**wanted), legend=legend),
        alt.Shape("series:N", scale=alt.Scale(**shapes), legend=legend),
    )


# Lines, bars and names have `aria=False`: their label would be names of fields, and the mark beside them says it in words.
def _link(rows: Rows) -> dict[str, Any]:
    """Marks that open their point, where they have one."""
    found = {"description": alt.Description("label:N")}
    return found | ({"href": alt.Href("href:N")} if any(row.get("href") for row in rows) else {})


def frontier(rows: Rows, titles: dict[str, str]) -> alt.LayerChart:
    """Throughput over speed for a user, with the range of the runs; points that another one beats are faint."""
    colour, shape = _series(rows)
    data = alt.Data(values=rows)
    x = alt.X(
        "x:Q",
        title=titles["x"],
        scale=alt.Scale(zero=False, nice=True, padding=12),
        axis=alt.Axis(tickCount=6),
    )
    y = alt.Y("y:Q", title=titles["y"], scale=alt.Scale(zero=False, nice=True, padding=12))
    best = alt.datum.best == True  # noqa: E712 - an expression of Vega
    faint = alt.condition(best, alt.value(1.0), alt.value(0.3))
    bars = alt.Chart(data).mark_rule(aria=False, strokeWidth=1.5).encode(colour, opacity=faint)
    line = (
        alt.Chart(data)
        .mark_line(aria=False, strokeWidth=1.5, interpolate="step-before", opacity=0.6)
        .encode(x, y, colour)
        .transform_filter(best)
    )
    marks = (
        alt.Chart(data)
        .mark_point(size=70, filled=True)
        .encode(x, y, colour, shape, opacity=faint, **_link(rows))
    )
    names = (
        alt.Chart(data)
        .mark_text(aria=False, dx=7, dy=-8, align="left", fontSize=12, color=QUIET)
        .encode(x, y, text="short:N", opacity=faint)
    )
    across = bars.encode(x=alt.X("x_low:Q", title=titles["x"]), x2="x_high:Q", y=y)
    along = bars.encode(y=alt.Y("y_low:Q", title=titles["y"]), y2="y_high:Q", x=x)
    return alt.layer(line, across, along, names, marks).properties(width=WIDTH, height=HEIGHT)


def over_concurrency(rows: Rows, titles: dict[str, str]) -> alt.LayerChart:
    """A metric against concurrency, with the range of the runs."""
    colour, shape = _series(rows)
    data = alt.Data(values=rows)
    ticks = sorted({row["x"] for row in rows})
    axis = alt.Axis(values=ticks, labelOverlap="greedy", format="d")
    x = alt.X(
        "x:Q", title=titles["x"], scale=alt.Scale(type="log", base=2, padding=14, nice=False), axis=axis
    )
    y = alt.Y("y:Q", title=titles["y"], scale=alt.Scale(zero=True, nice=True))
    line = alt.Chart(data).mark_line(aria=False, strokeWidth=1.5).encode(x, y, colour)
    bars = (
        alt.Chart(data)
        .mark_rule(aria=False, strokeWidth=1.5)
        .encode(x, colour, y=alt.Y("y_low:Q", title=titles["y"]), y2="y_high:Q")
    )
    marks = alt.Chart(data).mark_point(size=60, filled=True).encode(x, y, colour, shape, **_link(rows))
    return alt.layer(line, bars, marks).properties(width=WIDTH, height=HEIGHT - 50)


def runs(rows: Rows, titles: dict[str, str]) -> alt.LayerChart:
    """Each run beside its point's mean, in percent: what differs although nothing was changed."""
    colour, shape = _series(rows)
    names = list(dict.fromkeys(row["short"] for row in rows))
    data = alt.Data(values=rows)
    x = alt.X("x:Q", title=titles["x"], scale=alt.Scale(nice=True, padding=10), axis=alt.Axis(tickCount=5))
    y = alt.Y("short:N", title=None, sort=names)
    zero = (
        alt.Chart(alt.Data(values=[{"x": 0}]))
        .mark_rule(aria=False, color=QUIET, strokeDash=[3, 3])
        .encode(alt.X("x:Q"))
    )
    marks = (
        alt.Chart(data)
        .mark_point(size=60, filled=True, opacity=0.8)
        .encode(x, y, colour, shape, **_link(rows))
    )
    return alt.layer(zero, marks).properties(width=WIDTH - 60, height=max(60, 24 * len(names)))


def timeline(rows: Rows, titles: dict[str, str]) -> alt.Chart:
    """How many requests of a run wait, are in prefill, and decode, over its time."""
    order = ["in the queue", "before the first token", "decode"]
    kinds = [kind for kind in order if any(row["kind"] == kind for row in rows)]
    colours = {"in the queue": SERIES[3], "before the first token": SERIES[1], "decode": SERIES[0]}
    scale = alt.Scale(domain=kinds, range=[colours[kind] for kind in kinds])
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_area(aria=False, opacity=0.85, interpolate="step-after")
        .encode(
            alt.X("x:Q", title=titles["x"]),
            alt.Y("y:Q", title=titles["y"], stack="zero"),
            alt.Color("kind:N", scale=scale, legend=alt.Legend(columns=3)),
            alt.Order("order:Q"),
        )
        .properties(width=WIDTH, height=HEIGHT - 90)
    )


EFFECTS = {
    "regression": (SERIES[1], SHAPES[0]),
    "improvement": (SERIES[0], SHAPES[1]),
    "no change seen": (SERIES[5], SHAPES[2]),
    "change below the floor": (SERIES[2], SHAPES[3]),
    "flagged": (SERIES[4], "triangle-right"),
    "none": (SERIES[5], SHAPES[4]),
    "invalid": (SERIES[3], SHAPES[5]),
}
"""Word of a verdict -> how its mark looks."""


def effects(rows: Rows, titles: dict[str, str]) -> alt.LayerChart:
    """A comparison at a glance: each point's effect with its 95 % interval, by its verdict."""
    there = [word for word in EFFECTS if any(row["word"] == word for row in rows)]
    names = list(dict.fromkeys(row["short"] for row in rows))
    data = alt.Data(values=rows)
    scale = alt.Scale(domain=there, range=[EFFECTS[word][0] for word in there])
    colour = alt.Color("word:N", scale=scale, legend=alt.Legend(columns=3))
    shape = alt.Shape(
        "word:N",
        scale=alt.Scale(domain=there, range=[EFFECTS[word][1] for word in there]),
        legend=alt.Legend(columns=3),
    )
    y = alt.Y("short:N", title=None, sort=names)
    zero = (
        alt.Chart(alt.Data(values=[{"x": 0}]))
        .mark_rule(aria=False, color=QUIET, strokeDash=[3, 3])
        .encode(alt.X("x:Q"))
    )
    bars = (
        alt.Chart(data)
        .mark_rule(aria=False, strokeWidth=2)
        .encode(y, colour, x=alt.X("low:Q", title=titles["x"]), x2="high:Q")
        .transform_filter("isValid(datum.low)")
    )
    marks = (
        alt.Chart(data)
        .mark_point(size=70, filled=True)
        .encode(alt.X("x:Q", title=titles["x"], axis=alt.Axis(tickCount=5)), y, colour, shape, **_link(rows))
    )
    return alt.layer(zero, bars, marks).properties(width=WIDTH - 40, height=max(50, 22 * len(names)))


def history(rows: Rows, titles: dict[str, str]) -> alt.LayerChart:
    """A point's figure over time, and where it stepped; the line joins what counts, and marks of anything else have a shape of their own."""
    colour, shape = _series(sorted(rows, key=lambda row: not row["counts"]))
    data = alt.Data(values=rows)
    x = alt.X("x:T", title=titles["x"])
    y = alt.Y("y:Q", title=titles["y"], scale=alt.Scale(zero=False, nice=True, padding=10))
    line = (
        alt.Chart(data)
        .mark_line(strokeWidth=1, color=SERIES[0], aria=False)
        .encode(x, y)
        .transform_filter("datum.counts")
    )
    marks = (
        alt.Chart(data).mark_point(size=45, filled=True).encode(x, y, colour, shape, description="label:N")
    )
    steps = (
        alt.Chart(data)
        .mark_rule(color=SERIES[1], strokeWidth=1.5, strokeDash=[4, 3], aria=False)
        .encode(x)
        .transform_filter("datum.step != ''")
    )
    names = (
        alt.Chart(data)
        .mark_text(dx=4, align="left", baseline="top", fontSize=12, color=SERIES[1], aria=False)
        .encode(x, y=alt.value(0), text="step:N")
        .transform_filter("datum.step != ''")
    )
    return alt.layer(line, steps, names, marks).properties(width=WIDTH, height=HEIGHT - 70)


KINDS = {
    "frontier": frontier,
    "concurrency": over_concurrency,
    "runs": runs,
    "timeline": timeline,
    "effects": effects,
    "history": history,
}
"""Name of a picture -> its definition."""
