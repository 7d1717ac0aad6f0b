"""From points to what is drawn: rows and titles of each picture, and a sentence that says the same in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from matrix.metrics import HEADLINE, METRICS
from utils.report import frontier
from utils.report.grouped import SPEED
from utils.report.numbers import three
from utils.results.verdict.present import change_in_percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.report.grouped import Figure, Point

MOST_GROUPS = 6
MOST_EFFECTS = 12
"""Changes that one picture has room for."""
MOST_NAMES = 16
"""Marks that have room for their names."""
_GROUPED = ("e2el",)
"""Metrics that have no picture of their own: the others say the same."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is asked for."""

    kind: str
    """Of utils/report/charts.py."""
    name: str
    """Of its file."""
    heading: str
    words: str
    """What it shows, for those who do not see it."""
    rows: list[dict[str, Any]]
    titles: dict[str, str]
    title: str = ""
    """Inside of the picture, where it is on its own."""
    subtitle: list[str] = field(default_factory=list)
    alone: bool = False

    @property
    def asked(self) -> dict[str, Any]:
        """What the drawing program gets."""
        return {
            "kind": self.kind, "rows": self.rows, "titles": self.titles, "title": self.title,
            "subtitle": self.subtitle, "alone": self.alone,
        }  # fmt: skip


def title_of(metric: str) -> str:
    """An axis with its unit."""
    if metric == SPEED:
        return "speed of a user, tok/s/user"
    one = METRICS[metric]
    return f"{one.label or one.judged_as or one.called or metric}, {one.unit}"


def series(point: Point, points: Sequence[Point]) -> str:
    """What tells a point's line from the others of one picture."""
    parts = []
    if len({one.recipe for one in points}) > 1:
        parts.append(point.recipe)
    if len({one.arm for one in points}) > 1:
        parts.append(point.arm)
    if len({(one.recipe, one.arm, one.commit) for one in points}) > len(
        {(one.recipe, one.arm) for one in points}
    ):
        parts.append(point.commit[:7])
    return " · ".join(parts) or point.arm


def layout(point: Point) -> str:
    """How a server spreads over devices: `tp2-ep2` of `512x256-tp2-ep2-c64`."""
    return "-".join(point.name.split("-")[1:-1])


def _lines(points: Sequence[Point]) -> list[str]:
    """Of each point the line over concurrency that it is on: of one series, and of one layout where a series has several at once."""
    names = [series(one, points) for one in points]
    at_once = {(name, one.concurrency): set[str]() for name, one in zip(names, points, strict=True)}
    for name, one in zip(names, points, strict=True):
        at_once[name, one.concurrency].add(layout(one))
    several = any(len(found) > 1 for found in at_once.values())
    return [f"{name} · {layout(one)}" if several else name for name, one in zip(names, points, strict=True)]


def groups(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points that can be compared in one picture: the same model with the same lengths on the same device."""
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.measured:
            found.setdefault(f"{point.model}, {point.lengths} on {point.device}", []).append(point)
    return found


def of_group(name: str, points: Sequence[Point]) -> list[Picture]:
    """A group's frontier, and each metric against concurrency.

    Args:
        name: of the group.
        points: of it.
    """
    made = []
    fast = [one for one in points if SPEED in one.figures and HEADLINE in one.figures]
    if fast:
        made.append(_frontier(name, fast))
    usual = [metric for metric in METRICS if metric not in _GROUPED and not METRICS[metric].optional]
    return made + _over_concurrency(name, points, usual)


def that_runs_may_lack(groups: Mapping[str, Sequence[Point]], *, server: bool) -> list[Picture]:
    """Metrics that a run may lack, against concurrency; with the group's name, if there are several.

    Args:
        groups: name -> points.
        server: what servers said of themselves, else what devices did.
    """
    asked = [
        metric
        for metric, one in METRICS.items()
        if metric not in _GROUPED and one.optional and one.whole.startswith("server.") is server
    ]
    made = []
    for name, points in groups.items():
        where = f": {name}" if len(groups) > 1 else ""
        made += [replace(one, heading=one.heading + where) for one in _over_concurrency(name, points, asked)]
    return made


def _over_concurrency(name: str, points: Sequence[Point], metrics: Sequence[str]) -> list[Picture]:
    some = {
        metric: [one for one in points if metric in one.figures and one.concurrency] for metric in metrics
    }
    return [_concurrency(name, metric, ones) for metric, ones in some.items() if ones]


def _range(one: Figure, what: str) -> dict[str, float]:
    return {what: one.mean, f"{what}_low": one.low, f"{what}_high": one.high}


def _frontier(name: str, points: Sequence[Point]) -> Picture:
    lines: dict[str, list[Point]] = {}
    for point in points:
        lines.setdefault(series(point, points), []).append(point)
    rows = []
    for line, ones in lines.items():
        flags = frontier.best([one.figures for one in ones], SPEED, HEADLINE)
        for point, flag in zip(ones, flags, strict=True):
            x, y = point.figures[SPEED], point.figures[HEADLINE]
            said = f"{line} {point.name}: {three(y.mean)} {METRICS[HEADLINE].unit}, {three(x.mean)} tok/s/user, {'on' if flag else 'not on'} the frontier"
            rows.append(
                {"series": line, "best": flag, "short": f"c{point.concurrency}" if len(points) <= MOST_NAMES else "", "label": said, "href": f"#p{point.number}"}
                | _range(x, "x") | _range(y, "y")
            )  # fmt: skip
    best = [row for row in rows if row["best"]]
    words = f"{len(best)} of {len(rows)} points are on the frontier of their line; " + _ends(points, HEADLINE)
    titles = {"x": title_of(SPEED), "y": title_of(HEADLINE)}
    return Picture(
        "frontier", f"frontier-{_slug(name)}", "Frontier: throughput over speed", words, rows, titles
    )


def _concurrency(name: str, metric: str, points: Sequence[Point]) -> Picture:
    ordered = sorted(points, key=lambda one: one.concurrency or 0)
    rows = [
        {
            "series": line,
            "x": point.concurrency,
            "label": f"{series(point, points)} {point.name}: {three(point.figures[metric].mean)} {METRICS[metric].unit}",
            "href": f"#p{point.number}",
        }
        | _range(point.figures[metric], "y")
        for point, line in zip(ordered, _lines(ordered), strict=True)
    ]
    titles = {"x": "concurrency, requests", "y": title_of(metric)}
    words, heading = _ends(points, metric), title_of(metric)
    heading, words = heading[0].upper() + heading[1:], words[0].upper() + words[1:]
    return Picture("concurrency", f"{metric}-{_slug(name)}", heading, words, rows, titles)


def _ends(points: Sequence[Point], metric: str) -> str:
    """The lowest and the highest figure in words."""
    ordered = sorted(points, key=lambda one: one.figures[metric].mean)
    unit = METRICS[metric].unit
    low, high = ordered[0], ordered[-1]
    if low is high:
        return f"{three(low.figures[metric].mean)} {unit} in the one point {low.name}"
    return f"from {three(low.figures[metric].mean)} {unit} ({low.name}, {low.arm}) to {three(high.figures[metric].mean)} ({high.name}, {high.arm})"


def scatter(points: Sequence[Point]) -> Picture | None:
    """How the runs of each point differ; None where no point has two."""
    several = [one for one in points if HEADLINE in one.figures and len(one.figures[HEADLINE].runs) > 1]
    rows: list[dict[str, Any]] = []
    for point in several[:30]:
        known = point.figures[HEADLINE]
        for number, value in enumerate(known.runs, 1):
            off = 100 * (value / known.mean - 1)
            said = f"{series(point, several)} {point.name}, run {number}: {off:+z.2f} %"
            rows.append(
                {
                    "series": series(point, several),
                    "short": point.name,
                    "x": off,
                    "label": said,
                    "href": f"#p{point.number}",
                }
            )
    if not rows:
        return None
    worst = max(rows, key=lambda row: abs(row["x"]))
    more = f" The first 30 of {len(several)} points." if len(several) > 30 else ""  # noqa: PLR2004 - the cut above
    words = f"Runs of one point differ from its mean by at most {three(abs(worst['x']))} % ({worst['label']}).{more}"
    return Picture(
        "runs",
        "runs",
        "Runs of each point",
        words,
        rows,
        {"x": "throughput of a run against its point's mean, %"},
    )


def effects(rows: Sequence[Mapping[str, Any]], title: str, *, alone: bool) -> Picture:
    """A comparison: rows of point, metric, change, interval and verdict, by effect."""
    names = short_names([row["point"].split("/")[-1] for row in rows])
    shown = [
        {
            "short": f"{names[row['point'].split('/')[-1]]} {METRICS[row['metric']].judged_as or row['metric']}",
            "metric": row["metric"], "x": row["percent"], "low": row["low"], "high": row["high"],
            "word": row["word"], "label": row["text"],
        }
        for row in rows[:MOST_EFFECTS]
    ]  # fmt: skip
    words = "; ".join(
        f"{row['short']} {change_in_percent(row['x'], row['word'])} % {row['word']}" for row in shown[:6]
    )
    cut = f"the first {len(shown)} of {len(rows)} changes" if len(rows) > len(shown) else ""
    if len(rows) > len(shown[:6]):
        words += f"; and {len(rows) - len(shown[:6])} more" + (f" (drawn: {cut})" if cut else "")
    titles = {"x": "change from base to head, % (bars: 95 % interval)"}
    return Picture(
        "effects",
        "effects",
        "Changes by effect",
        words,
        shown,
        titles,
        title if alone else "",
        subtitle=[cut] if alone and cut else [],
        alone=alone,
    )


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names of points without what all of them begin with, at a hyphen: c64 and c108."""
    parts = [name.split("-") for name in dict.fromkeys(names)]
    same = 0
    while len(parts) > 1 and all(len(one) > same + 1 and one[same] == parts[0][same] for one in parts):
        same += 1
    return {"-".join(one): "-".join(one[same:]) for one in parts}


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).lower().split())[:60]
