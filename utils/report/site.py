"""`servematrix site`: the dashboard over a data branch and the changelog, of the report's own parts."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from matrix.metrics import HEADLINE, METRICS
from utils.node.files import write_whole
from utils.report import pictures
from utils.report.alerts import NOT_BORNE_OUT
from utils.report.alerts import alerts as alerts_of
from utils.report.costs import costs
from utils.report.digest import digest
from utils.report.drawing import drawn
from utils.report.grid import Column, coded
from utils.report.grouped import points
from utils.report.numbers import three
from utils.report.page import Page, Section, picture, written
from utils.report.trust import trust
from utils.results.history import series, steps
from utils.show import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.report.alerts import Alert, Said
    from utils.report.prices import Prices
    from utils.results.changelog.entries import Entry
    from utils.results.history import Measurement, Step
    from utils.results.verdict.ledger import Ledger

HISTORIES = 200
"""Points whose history is drawn."""
RECENT = 60
"""Measurements of a point's picture, the newest."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that the dashboard is made of."""

    placed: Sequence[tuple[Record, Path]]
    entries: Mapping[str, Sequence[Entry]]
    ledger: Ledger
    said: Mapping[str, Said]
    stale: Sequence[str]
    quarantine: Sequence[Sequence[str]] | None
    prices: Prices | None
    quarantine_words: str = ""
    """Since when that is known; why it is not."""


def make(inputs: Inputs, out: Path, tell: Callable[[str], None]) -> Path:
    """Write index.html, records.csv and digest.md; the page's path."""
    records = [one for one, _ in inputs.placed]
    by_point: dict[str, list[Record]] = {}
    for one in records:
        by_point.setdefault(one.point, []).append(one)
    named = [
        f"{recipe}/{name}" for recipe, ones in inputs.entries.items() for one in ones for name in one.points
    ]
    history = {
        point: found
        for point in sorted({*by_point, *named})
        if (found := series(point, by_point.get(point, []), inputs.entries.get(point.split("/")[0], [])))
    }
    among = Counter(point.split("/")[0] for point in history)
    stepped = {
        point: steps(found, inputs.entries.get(recipe, []), among=among[recipe])
        for point, found in history.items()
        if (recipe := point.split("/")[0])
    }
    alerts = alerts_of(stepped, inputs.said)
    numbers = {point: number for number, point in enumerate(history, 1)}
    latest = [
        replace(one, number=numbers[one.point])
        for one in points(_latest(inputs.placed))
        if one.point in numbers
    ]
    groups = pictures.groups(latest)
    fronts = [
        one
        for name, ones in list(groups.items())[: pictures.MOST_GROUPS]
        for one in pictures.of_group(name, ones)[:1]
    ]
    lines = {point: _history(point, history[point], stepped[point]) for point in list(history)[:HISTORIES]}
    made = drawn([*fronts, *lines.values()], tell)
    checked = trust(records, inputs.ledger, inputs.quarantine, inputs.quarantine_words)
    rows = coded(*_table(history))
    page = Page(
        title="servematrix",
        verdict=_verdict(alerts, history, inputs.stale),
        mood="regression" if any(one.state == "new" for one in alerts) else "",
        notes=[],
        about=f"{sum(map(len, history.values()))} measurements of {len(history)} points, from {len(records)} records; published figures of others are marked and feed no verdict",
        sections=[
            _alerts(alerts),
            Section("Latest frontier", "The newest measurement of each point.", [picture(one.name, one.heading + name, one.words, two) for one, two, name in zip(fronts, made, _names(groups), strict=False)], empty="" if fronts else "No point has figures."),
            Section("Stale", table={"heads": ["entries whose keys are not those of the recipes today"], "lines": [[one] for one in inputs.stale], "numbers": ()} if inputs.stale else None, empty="" if inputs.stale else "Every entry has the keys of the recipes today."),
            *checked,
            costs(latest, inputs.prices),
        ],
        table={"heading": "All measurements", "columns": rows[0]},
        timelines=[{"number": numbers[point], "svg": picture("", "", "", two).svg} for point, two in zip(lines, made[len(fronts) :], strict=True)],
        footer="Open a row for its point's history. A week in words: digest.md.",
        csv_link="records.csv",
    )  # fmt: skip
    data = {
        "columns": rows[0],
        "rows": rows[1],
        "ids": [numbers[point] for point, found in history.items() for _ in found],
        "link": 0,
        "panels": {
            numbers[point]: _panel(
                point, history[point], stepped[point], f"t{numbers[point]}" if point in lines else ""
            )
            for point in history
        },
    }
    csv = io.StringIO()
    flat.write_csv(csv, records)
    write_whole(out / "records.csv", csv.getvalue().encode())
    write_whole(
        out / "digest.md", digest(history, inputs.entries, alerts, inputs.stale, checked[0].words).encode()
    )
    write_whole(out / "index.html", written(page, data, "").encode())
    return out / "index.html"


def _latest(placed: Sequence[tuple[Record, Path]]) -> list[tuple[Record, Path]]:
    """Of each point the head's runs of its newest allocation that measured it."""
    newest: dict[str, Record] = {}
    for one, _ in placed:
        known = newest.get(one.point)
        if (
            one.arm == "head"
            and one.status == "measured"
            and (known is None or one.clock.wall_unix_s > known.clock.wall_unix_s)
        ):
            newest[one.point] = one
    return [
        (one, folder) for one, folder in placed
        if one.arm == "head" and (known := newest.get(one.point)) and one.allocation == known.allocation
    ]  # fmt: skip


def _names(groups: Mapping[str, object]) -> list[str]:
    return [f", {name}" for name in groups]


def _verdict(alerts: Sequence[Alert], history: Mapping[str, object], stale: Sequence[str]) -> str:
    waiting = [one for one in alerts if one.state == "new"]
    if not history:
        return "Nothing was measured yet."
    more = f"; {len(stale)} thing{' is' if len(stale) == 1 else 's are'} stale" if stale else ""
    if not waiting:
        return f"No new alert{more}."
    worst = max(waiting, key=lambda one: abs(one.step.percent))
    return f"{len(waiting)} new alert{'s' if len(waiting) > 1 else ''}, the worst {worst.point} {METRICS[worst.step.metric].heading} {worst.step.percent:+z.1f} % since {worst.step.day}{more}."


def _alerts(alerts: Sequence[Alert]) -> Section:
    order = {"new": 0, "seen": 1, "fixed": 2, "invalid": 3}
    ordered = sorted(alerts, key=lambda one: (order[one.state], -abs(one.step.percent)))
    lines = [
        [one.state, one.point, METRICS[one.step.metric].heading, three(one.step.before), three(one.step.after), f"{one.step.percent:+z.1f} %", one.step.day, one.step.near or one.step.commit[:10], one.why, one.id]
        for one in ordered
    ]  # fmt: skip
    heads = [
        "state",
        "point",
        "metric",
        "before",
        "after",
        "change",
        "since",
        "near",
        "why",
        "name in alerts.yaml",
    ]
    words = "Lasting steps for the worse. A person says what became of one in alerts.yaml: docs/site.md."
    return Section(
        "Alerts",
        words,
        table={"heads": heads, "lines": lines, "numbers": (3, 4, 5)} if lines else None,
        empty="" if lines else "No figure stepped for the worse.",
    )


def _history(point: str, found: Sequence[Measurement], stepped: Sequence[Step]) -> pictures.Picture:
    shown = [one for one in found if HEADLINE in one.values][-RECENT:]
    marks = {
        (one.day, one.commit): f"{one.percent:+z.1f} %"
        for one in stepped
        if one.metric == HEADLINE and not one.taken_back
    }
    rows = []
    for one in shown:
        said = f"{one.day} {one.commit[:10]}: {three(one.values[HEADLINE])} {METRICS[HEADLINE].unit} ({one.origin}{', ' + one.title if one.title else ''})"
        rows.append(
            {
                "x": round(1000 * one.time),
                "y": one.values[HEADLINE],
                "label": said,
                "counts": one.counts,
                "series": "measured here" if one.counts else one.whose,
                "step": marks.pop((one.day, one.commit), ""),
            }
        )
    return pictures.Picture("history", point, point, "", rows, {"x": "day", "y": pictures.title_of(HEADLINE)})


def _panel(point: str, found: Sequence[Measurement], stepped: Sequence[Step], picture: str) -> dict[str, Any]:
    figures = [name for name in METRICS if any(name in one.values for one in found)]
    lines = [
        [one.day, one.commit[:10], *(three(one.values[name]) if name in one.values else "" for name in figures), str(one.runs), one.origin, one.title]
        for one in reversed(found[-RECENT:])
    ]  # fmt: skip
    told = [
        [
            one.day,
            METRICS[one.metric].heading,
            f"{one.percent:+z.1f} %",
            three(one.before),
            three(one.after),
            NOT_BORNE_OUT if one.taken_back else one.near,
        ]
        for one in stepped
    ]
    return {
        "title": point,
        "parts": [
            {"heading": "Throughput over time", "kind": "picture", "lines": [picture] if picture else [], "empty": "It is among too many points to be drawn."},
            {"heading": "Steps", "kind": "table", "heads": ["day", "metric", "change", "before", "after", "near"], "lines": told, "empty": f"No step in {len(found)} measurements."},
            {"heading": "Measurements, the newest first", "kind": "table", "heads": ["day", "commit", *(METRICS[name].heading for name in figures), "runs", "from", "change"], "lines": lines},
        ],
    }  # fmt: skip


def _table(history: Mapping[str, Sequence[Measurement]]) -> tuple[list[Column], list[list[Any]]]:
    figures = [
        name for name in METRICS if any(name in one.values for found in history.values() for one in found)
    ]
    columns = [
        Column("point"), Column("recipe", choose=True), Column("day"), *(Column(METRICS[name].heading, "number") for name in figures),
        Column("runs", "count"), Column("from", choose=True), Column("commit"), Column("key"),
    ]  # fmt: skip
    rows = [
        [point.split("/")[1], point.split("/")[0], one.day, *(one.values.get(name) for name in figures), one.runs, one.whose, one.commit[:10], one.key]
        for point, found in history.items()
        for one in found
    ]  # fmt: skip
    return columns, rows
