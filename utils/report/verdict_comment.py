"""A comparison as a comment for one minute: the first line says it, a picture shows it, rows by effect, and the rest is folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.metrics import METRICS
from utils.report.verdict import by_effect, cut, once
from utils.results import summary
from utils.results.verdict import present
from utils.show.markdown import escape, folded, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.outcome import Comparison, PointVerdict

ROWS = 12
"""Points that are visible."""
LOUD = ("regression", "improvement")


def parts(comparison: Comparison, picture: str = "") -> list[str]:
    """The comment in parts, the first of them visible.

    Args:
        comparison: the comparison; every text in it is somebody's.
        picture: address of the picture of `utils.report.pictures.effects`; the words stand without it.
    """
    ordered = _by_effect(comparison)
    loud = [one for one in ordered if any(seen.word in LOUD for seen in summary.by_metric(one).values())]
    shown = loud or [one for one in ordered if not one.invalid]
    visible = [f"**{escape(summary.first(comparison))}**\n\n"]
    if picture and once(by_effect(comparison)):
        visible.append(f"![{escape(words(comparison))}]({picture})\n\n")
    if facts := summary.facts(comparison):
        visible.append(table(summary.FACT_COLUMNS, facts[:ROWS]) + "\n")
        visible += [f"and {len(facts) - ROWS} more changes\n\n"] if len(facts) > ROWS else []
    if shown:
        visible.append(table(heads(shown), [_row(one, shown) for one in shown[:ROWS]]) + "\n")
    if len(shown) > ROWS:
        visible.append(f"and {len(shown) - ROWS} more points in the folded table\n\n")
    visible += _claims(comparison)
    listed = [f"{_are(len(comparison.new))} new: {', '.join(comparison.new[:3])}"] if comparison.new else []
    listed += (
        [f"{_are(len(comparison.gone))} gone: {', '.join(comparison.gone[:3])}"] if comparison.gone else []
    )
    visible += [
        f"- {escape(line)}\n"
        for line in [
            *listed,
            *cut([*summary.reasons(comparison), *summary.causes(comparison), *summary.notes(comparison)]),
        ]
    ]
    return ["".join(visible), *_folded(comparison, ordered, whole=len(shown[:ROWS]) == len(ordered))]


def _are(points: int) -> str:
    return "1 point is" if points == 1 else f"{points} points are"


def words(comparison: Comparison) -> str:
    """The picture in words."""
    rows = once(by_effect(comparison))
    said = [f"{row['text']}" for row in rows[:6]]
    more = f"; and {len(rows) - len(said)} more" if len(rows) > len(said) else ""
    return "Changes by effect: " + "; ".join(said) + more


def _by_effect(comparison: Comparison) -> list[PointVerdict]:
    """Points, those with the worst row first."""
    order = list(dict.fromkeys(row["point"] for row in by_effect(comparison)))
    return sorted(comparison.points, key=lambda one: order.index(one.point))


def _judged(points: Sequence[PointVerdict]) -> list[str]:
    return [name for name in METRICS if any(name in one.metrics for one in points)]


def heads(points: Sequence[PointVerdict]) -> list[str]:
    """Headings of `_row`."""
    return ["point", "verdict", *(METRICS[name].about for name in _judged(points)), "runs"]


def _row(one: PointVerdict, points: Sequence[PointVerdict]) -> list[str]:
    """A point: its word, and of each judged metric base, head, change and 95 % interval."""
    seen = summary.by_metric(one)
    word = _named(summary.of_verdict(one))
    cells = []
    for name in _judged(points):
        metric, each = one.metrics.get(name), seen.get(name)
        if (
            metric is None
            or each is None
            or metric.base is None
            or metric.head is None
            or each.percent is None
        ):
            cells.append("")
            continue
        interval = (
            f" ({each.low:+z.1f} to {each.high:+z.1f})"
            if each.low is not None and each.high is not None
            else ""
        )
        cells.append(
            f"{METRICS[name].shown(metric.base)} → {METRICS[name].shown(metric.head)}, {present.change_in_percent(each.percent, metric.word)} %{interval}"
        )
    return [one.point, "invalid" if one.invalid else word, *cells, f"{one.runs[0]}+{one.runs[1]}"]


def _named(word: str) -> str:
    """A verdict with its metrics as the columns beside it call them: `improvement throughput, TPOT p50`."""
    parts = []
    for part in word.split("; "):
        first = summary.first_word(part)
        names = [METRICS[name].judged_as for name in part.removeprefix(first).split() if name in METRICS]
        parts.append(f"{first} {', '.join(names)}".strip())
    return "; ".join(parts)


def _claims(comparison: Comparison) -> list[str]:
    if not comparison.claims:
        return []
    rows = present.claim_rows(comparison)
    more = f"and {len(rows) - ROWS} more claims\n\n" if len(rows) > ROWS else ""
    return [table(present.CLAIM_COLUMNS, rows[:ROWS]) + "\n" + more]


def _folded(comparison: Comparison, ordered: Sequence[PointVerdict], *, whole: bool) -> list[str]:
    """Every point, unless all are visible already; how each figure was judged; and what the field publishes."""
    if not comparison.points:
        return []
    made = []
    if not whole:
        every = table(heads(ordered), [_row(one, ordered) for one in ordered])
        made.append("\n" + folded(f"All {len(ordered)} points", every))
    how = table([name for name, _ in present.COLUMNS], present.rows(comparison))
    made.append("\n" + folded("How each figure was judged", how))
    if present.shown_figures(comparison):
        body = "Nothing is judged by them.\n\n"
        body += table([name for name, _ in present.whole_columns(comparison)], present.whole_rows(comparison))
        made.append("\n" + folded("Means of whole runs, as the field publishes them", body))
    return made
