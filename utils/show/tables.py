"""Tables and lines for people."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, TextIO

from matrix import estimate
from matrix.metrics import METRICS, figures
from utils.node import saturation
from utils.show import foreign
from utils.show.curve import curves
from utils.show.pieces import pieces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table as RichTable

    from matrix.plan import Plan
    from utils.node.events import Event
    from utils.node.record import Record


MIN_WORDS = 16
"""Columns that words of a last column have, however narrow the table is."""


def measured_line(short: str, event: Event) -> str:
    """A point's result in one line."""
    figures = figures_text(event.get("facts", {}).get("figures", {}))
    return f"{short} {event.get('text', '')} {figures}".rstrip()


def figures_text(figures: Mapping[str, float]) -> str:
    """Figures of a run in one line, each with its unit."""
    return "  ".join(
        METRICS[name].in_words(value)
        for name, value in figures.items()
        if name in METRICS and METRICS[name].at_a_glance
    )


def table(
    stream: TextIO,
    title: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
) -> None:
    """Print a table: boxed and coloured on a terminal, aligned plain text elsewhere.

    Args:
        stream: where to.
        title: the line above.
        columns: names, each with `left` or `right`.
        rows: cells.
        width: what plain text may take, in pieces if need be; unless said, a row is one line, however long.
    """
    is_terminal = stream.isatty()
    recipes = {row[0].split("/")[0] for row in rows}
    if is_terminal and len(recipes) == 1:  # its name in the title is enough, and leaves room for figures
        recipe = recipes.pop()
        title, rows = f"{title}: {recipe}", [[row[0].removeprefix(f"{recipe}/"), *row[1:]] for row in rows]
    if not is_terminal or os.environ.get("TERM") == "dumb":
        stream.write(f"{title}\n{in_pieces(columns, rows, width) if width else aligned(columns, rows)}")
        return
    _on_terminal(stream, title, columns, rows)


def _on_terminal(
    stream: TextIO, title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]
) -> None:
    """Where it is too wide, headings have a word a line; where that is too wide, it comes in pieces. Figures are never cut."""
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs rich, and it is slow to import

    console = Console(file=stream)
    limit = console.width

    def made(numbers: Sequence[int], *, narrow: bool, heading: str = title, wraps: bool = False) -> RichTable:
        some = [[row[n] for n in numbers] for row in rows]
        return _boxed(heading, [columns[n] for n in numbers], some, narrow=narrow, wraps=wraps)

    def needs(numbers: Sequence[int], *, narrow: bool = True) -> int:
        wide = console.options.update(width=1000)
        return console.measure(made(numbers, narrow=narrow, heading=""), options=wide).maximum

    every = range(len(columns))
    narrow = needs(every, narrow=False) > limit
    parts = pieces(columns, limit, needs) if narrow and needs(every) > limit else [every]
    for number, part in enumerate(parts):
        too_wide = len(parts) > 1 and needs(part) > limit
        one = made(part, narrow=narrow, heading="" if number else title, wraps=too_wide)
        console.width = limit if too_wide else max(limit, needs(part, narrow=narrow))
        console.print(one, soft_wrap=True)


def _boxed(
    title: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    *,
    narrow: bool,
    wraps: bool,
) -> RichTable:
    """One table.

    Args:
        title: the line above.
        columns: names, each with `left` or `right`.
        rows: cells.
        narrow: whether headings have a word a line.
        wraps: whether words of the last column go on in the next line.
    """
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0 if narrow else 1),
        collapse_padding=narrow,
    )
    for number, (name, side) in enumerate(columns):
        heading = name.replace(" ", "\n").replace("-", "-\n").replace("/d", "/\nd") if narrow else name
        last = wraps and side == "left" and number == len(columns) - 1
        made.add_column(heading, justify="left" if side == "left" else "right", no_wrap=not last)
    for row in rows:
        made.add_row(
            *(Text(cell, style="red" if cell in {"invalid", "failed", "cancelled"} else "") for cell in row)
        )
    return made


def aligned(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A table as plain lines."""
    cells = [[name for name, _ in columns], *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = []
    for row in cells:
        parts = [
            cell.ljust(width) if side == "left" else cell.rjust(width)
            for cell, width, (_, side) in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(parts).rstrip() + "\n")
    return "".join(lines)


def in_pieces(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], width: int) -> str:
    """The same within a width: in pieces below each other, each with the columns that name a row. Only words of a last column are wrapped."""

    def of(numbers: Sequence[int], cells: Sequence[Sequence[str]] = rows) -> str:
        return aligned([columns[n] for n in numbers], [[row[n] for n in numbers] for row in cells])

    def needs(numbers: Sequence[int]) -> int:
        return max(map(len, of(numbers).splitlines()))

    every = range(len(columns))
    if needs(every) <= width:
        return of(every)
    *parts, last = pieces(columns, width, needs)
    room = max(width - needs(last[:-1]) - len("  "), MIN_WORDS)
    return "\n".join([*map(of, parts), of(last, [line for row in rows for line in _wrapped(row, room)])])


def _wrapped(row: Sequence[str], room: int) -> list[list[str]]:
    """A row, and below it what of its last cell does not fit beside the others."""
    first, *more = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
    return [[*row[:-1], first], *([*("" for _ in row[:-1]), text] for text in more)]


RESULT_COLUMNS = [
    ("point", "left"),
    ("run", "left"),
    ("status", "left"),
    *((metric.heading, "right") for metric in METRICS.values() if metric.at_a_glance),
    ("requests", "right"),
]


def result_row(record: Record) -> list[str]:
    """A record as a row of the table at a run's end: means of the whole run."""
    known = figures(record)
    cells = [
        metric.shown(known[name]) if name in known else "-"
        for name, metric in METRICS.items()
        if metric.at_a_glance
    ]
    requests = str(record.counts.completed) if record.counts else "-"
    return [record.point, f"{record.run_index + 1} {record.arm}", record.status, *cells, requests]


def results(stream: TextIO, records: Sequence[Record]) -> None:
    """The table at a run's end, and how figures go with concurrency; a metric that no record has takes no column."""
    columns, rows = without_empty(RESULT_COLUMNS, [result_row(one) for one in records])
    table(stream, "Means of whole runs", columns, rows)
    lines = [*curves(records), *beyond_saturation(records), *unmeasured(records)]
    stream.writelines(f"{foreign.line(line)}\n" for line in lines)


def unmeasured(records: Sequence[Record]) -> list[str]:
    """Why points have no figures that count, each reason once, with the first point that it is of."""
    points: dict[tuple[str, str], list[str]] = {}
    said: dict[tuple[str, str], str] = {}
    for one in records:
        failed = [gate for gate in one.gates if not gate.passed]
        if one.failure:
            why = cause = one.failure.message.split("\n")[0]
        elif one.status == "invalid" and failed:
            cause = " ".join(gate.name for gate in failed)
            why = "; ".join([*(f"{gate.name}: {gate.found}" for gate in failed), *one.notes])
            why += " (docs/gates.md says what a gate means)"
        else:
            continue
        points.setdefault((one.status, cause), []).append(one.point)
        said.setdefault((one.status, cause), why)
    more = {key: len(set(found)) - 1 for key, found in points.items()}
    return [
        f"{key[0]}: {points[key][0]}{f' and {n} more' if n else ''}: {said[key]}" for key, n in more.items()
    ]


def beyond_saturation(records: Sequence[Record]) -> list[str]:
    """Points whose server did not run all that it was sent, each once, with what its first such run says."""
    found: dict[str, str] = {}
    for one in records:
        if label := saturation.of(one):
            found.setdefault(one.point, f"{one.point}: {label}")
    return list(found.values())


def without_empty(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """A table without the columns of metrics that a run may lack and no row has."""
    optional = {metric.heading for metric in METRICS.values() if metric.optional}
    kept = [
        number
        for number, (name, _) in enumerate(columns)
        if name not in optional or any(row[number] not in {"", "-"} for row in rows)
    ]
    return [columns[number] for number in kept], [[row[number] for number in kept] for row in rows]


PLAN_COLUMNS = [
    ("point", "left"),
    ("job", "left"),
    ("min", "right"),
    ("of job", "right"),
    ("max-model-len", "right"),
    ("key", "left"),
    ("why", "left"),
]


def plan_table(plan: Plan) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """A plan as columns and rows; minutes are of a point in one run, and of a job with all of its runs. A column that says nothing is left out."""
    rows = [
        [
            point.id,
            ".".join(job.id.removeprefix(f"{point.id.split('/')[0]}.").split(".")[1:]),
            f"{point.estimate_s / 60:.1f}",
            f"{job.walltime_s / 60:.0f}" if number == 0 else "",
            str(point.max_model_len),
            point.key,
            point.why,
        ]
        for job in plan.jobs
        for number, point in enumerate(job.points)
    ]
    kept = [
        n
        for n, (name, _) in enumerate(PLAN_COLUMNS)
        if name != "why" or {row[n] for row in rows} != {"selected"}
    ]
    return [PLAN_COLUMNS[n] for n in kept], [[row[n] for n in kept] for row in rows]


def counted(number: int, what: str) -> str:
    """`1 point`, `2 points`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def plan_summary(plan: Plan) -> str:
    """A plan in one line, and what comparing costs in another."""
    gone = f", {counted(len(plan.gone), 'point')} gone" if plan.gone else ""
    hours = f"about {estimate.node_hours(plan):.2f} node-hours{_source(plan)}"
    line = f"{counted(plan.points, 'point')} in {counted(plan.server_starts, 'server start')}, {hours}{gone}"
    line += "".join(f"\n{text}" for text in [*plan.idle, *plan.memory])
    pairs = [job for job in plan.jobs if job.base]
    if not pairs:
        return line
    jobs = "one job" if len(pairs) == 1 else f"{len(pairs)} jobs"
    orders = " or ".join(sorted({" ".join(arm[0].upper() for arm in job.arms) for job in pairs}))
    again = estimate.node_hours(plan.model_copy(update={"jobs": pairs}))
    return (
        f"{line}\ncompared with {plan.pair.name if plan.pair else 'a base'}: {jobs}, each a canary an arm and then {orders}; "
        f"flagged points are measured once more, {again:.2f} node-hours if that were all of them"
    )


def _source(plan: Plan) -> str:
    """Where the estimate comes from."""
    known, points = plan.from_records, plan.points
    if not plan.jobs:
        return ""
    if not known:
        return " (from the cluster file)"
    return (
        " (from records)"
        if known == points
        else f" (of {known} points from records, else from the cluster file)"
    )


def duration(seconds: float) -> str:
    """Seconds in a person's units."""
    if seconds < 120:  # noqa: PLR2004 - two minutes read well as seconds
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
