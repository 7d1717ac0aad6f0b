"""`servematrix report`: records to one page, a table and pictures in a folder."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from matrix.metrics import METRICS
from utils.node.files import write_whole
from utils.report import left, pictures, timeline
from utils.report.costs import costs
from utils.report.drawing import drawn
from utils.report.grid import Column, coded
from utils.report.grouped import SPEED, points
from utils.report.page import Page, Section, picture, written
from utils.report.panel import panel
from utils.report.verdict import verdict
from utils.show import flat
from utils.show.tables import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.report.grouped import Point
    from utils.report.page import Drawn
    from utils.report.prices import Prices
    from utils.results.verdict.outcome import Comparison

RANGES = "Bars are the range of two runs, or the 95 % interval of three and more; a single run has none."
FILE = "report.html"


def make(
    placed: Sequence[tuple[Record, Path]],
    comparison: Comparison | None,
    prices: Prices | None,
    out: Path,
    tell: Callable[[str], None],
    *,
    refused: str = "",
) -> Path:
    """Write the page and what goes with it; its path.

    Args:
        placed: records with their folders.
        comparison: the comparison of their arms, where there are two.
        prices: what devices cost, where somebody said.
        out: the folder.
        tell: gets a line where the drawing environment is made.
        refused: why two arms were not compared.
    """
    known = points(placed)
    groups = pictures.groups(known)
    shown_groups = dict(list(groups.items())[: pictures.MOST_GROUPS])
    asked = [(name, pictures.of_group(name, ones)) for name, ones in shown_groups.items()]
    energy, server = (pictures.that_runs_may_lack(shown_groups, server=one) for one in (False, True))
    scatter = pictures.scatter(known)
    said = verdict(comparison, known, refused)
    every = [
        *said.pictures,
        *(one for _, ones in asked for one in ones),
        *energy,
        *server,
        *([scatter] if scatter else []),
    ]
    times = _timelines(known)
    last = times[-1][0] if len(times) == timeline.POINTS else len(known)
    made = drawn([*every, *(one for _, one in times)], tell)
    shown = {
        one.name: picture(one.name, one.heading, one.words, two)
        for one, two in zip(every, made, strict=False)
    }
    page = Page(
        title=f"servematrix report: {_title(known)}",
        verdict=said.text,
        mood=said.mood,
        notes=said.notes,
        about=_about(known),
        sections=[
            *([Section("What was compared", said.words, [shown[one.name] for one in said.pictures], said.table)] if comparison else []),
            *(_group(name, [shown[one.name] for one in ones]) for name, ones in asked),
            *([] if groups else [Section("Figures", empty="No point has figures: open one in the table below to see why.")]),
            *([Section("More", empty=f"{len(groups) - pictures.MOST_GROUPS} more combinations of models, lengths and devices are in the table alone.")] if len(groups) > pictures.MOST_GROUPS else []),
            *([Section("Queue, prefill and KV cache", "What the server said of itself.", [shown[one.name] for one in server])] if server else []),
            _power(known, [shown[one.name] for one in energy]),
            Section("Runs of each point", pictures=[shown["runs"]] if scatter else [], empty="" if scatter else "Every point has one run: how much runs differ is not known."),
            costs(known, prices),
        ],
        table={"heading": "All points", "columns": []},
        timelines=[
            {"number": number, "svg": picture("", "", "", two).svg}
            for (number, _), two in zip(times, made[len(every) :], strict=True)
        ],
        footer="Figures are means of whole runs, as the field publishes them; the verdict is about the steady window. tok/s/user is 1000 / TPOT in ms.",
    )  # fmt: skip
    columns, rows = coded(*_table(known))
    page.table["columns"] = columns
    paired = left.paired(folder for _, folder in placed)
    data = {
        "columns": columns,
        "rows": rows,
        "ids": [one.number for one in known],
        "link": 0,
        "panels": {
            one.number: panel(
                one,
                drawn=one.number in dict(times),
                full=one.measured and one.number > last,
                paired=paired,
            )
            for one in known
        },
    }
    csv = io.StringIO()
    flat.write_csv(csv, [one for one, _ in placed])
    _save(out, written(page, data, csv.getvalue()), csv.getvalue(), shown)
    return out / FILE


def _save(out: Path, html: str, csv: str, shown: dict[str, Drawn]) -> None:
    write_whole(out / FILE, html.encode())
    write_whole(out / "records.csv", csv.encode())
    for name, one in shown.items():
        write_whole(out / "charts" / f"{name}.vl.json", json.dumps(json.loads(one.spec), indent=1).encode())


def _timelines(known: Sequence[Point]) -> list[tuple[int, pictures.Picture]]:
    made: list[tuple[int, pictures.Picture]] = []
    for point in known:
        if len(made) < timeline.POINTS and point.measured:
            server = point.records[0].server
            queue = server.queue_s.mean if server and server.queue_s else None
            if rows := timeline.rows(point.folders[0], queue):
                titles = {"x": "time after the first request, s", "y": "requests"}
                made.append(
                    (point.number, pictures.Picture("timeline", f"t{point.number}", "", "", rows, titles))
                )
    return made


def _group(name: str, shown: list[Drawn]) -> Section:
    return Section(
        name,
        f"A faint point is beaten on both axes beyond its interval. {RANGES}",
        shown,
    )


def _power(known: Sequence[Point], shown: list[Drawn]) -> Section:
    """What the devices took; where nothing measured it that is said, with the reason that records give."""
    why = sorted(
        {
            f"{one.power.meter}: {', '.join(one.power.invalid)}"
            for point in known
            for one in point.records
            if one.power and one.power.invalid
        }
    )
    if shown:
        return Section("Power and energy", f"Not used: {'; '.join(why)}." if why else "", shown)
    return Section(
        "Power and energy", empty=f"No power: {'; '.join(why) or 'nothing measured it in these runs'}."
    )


def _title(known: Sequence[Point]) -> str:
    recipes = list(dict.fromkeys(one.point.split("/")[0] for one in known))
    return recipes[0] if len(recipes) == 1 else f"{len(recipes)} recipes"


def _about(known: Sequence[Point]) -> str:
    runs = sum(len(one.records) for one in known)
    bad = sum(not one.measured for one in known)
    devices = ", ".join(dict.fromkeys(one.device for one in known))
    points = counted(len({one.point for one in known}), "point")
    return f"{points}, {counted(runs, 'run')} on {devices}" + (f"; {bad} without figures" if bad else "")


def _table(known: Sequence[Point]) -> tuple[list[Column], list[list[Any]]]:
    figures = [name for name in METRICS if any(name in one.figures for one in known)]
    columns = [
        Column("point"),
        Column("recipe", choose=True),
        Column("arm", choose=True),
        Column("status", choose=True),
        Column("device", choose=True),
        Column("concurrency", "count"),
        *(Column(METRICS[name].heading, "number") for name in figures),
        Column("tok/s/user", "number"),
        Column("runs", "count"),
        Column("commit"),
    ]
    rows = [
        [
            one.name,
            one.recipe,
            one.arm,
            "measured" if one.measured else one.records[0].status,
            one.device,
            one.concurrency,
            *(one.figures[name].mean if name in one.figures else None for name in figures),
            one.figures[SPEED].mean if SPEED in one.figures else None,
            len(one.records),
            one.commit[:10],
        ]
        for one in known
    ]
    return columns, rows
