"""A comparison for people: text for a terminal, Markdown for a comment."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TextIO

from matrix.metrics import METRICS, Metric, percent
from utils.show import tables
from utils.show.log import clean
from utils.show.markdown import escape, folded, table

if TYPE_CHECKING:
    from utils.results.verdict.outcome import Comparison, MetricVerdict, PointVerdict

COLUMNS = [
    ("point", "left"),
    ("metric", "left"),
    ("change", "right"),
    ("verdict", "left"),
    ("95 % interval", "left"),
    ("base → head", "right"),
    ("runs", "left"),
    ("noise of a run", "left"),
    ("why", "left"),
]
"""A narrow terminal shows the first ones first: what changed and what was said of it; why comes last, as it may be long."""
SHORT = (0, 1, 2, 3, 4, 5, 8)
"""Numbers of those of a comment's visible table."""
CLAIM_COLUMNS = ["point", "metric", "claim", "outcome", "why"]
CHANGES = {"regression", "improvement", "change below the floor"}
NOTABLE = 12
WORST_FIRST = ("regression", "improvement", "invalid", "change below the floor", None)


def verdict_text(one: MetricVerdict) -> str:
    """The word with its numbers; where there is none, why."""
    word, why = verdict_parts(one)
    if one.word is None:
        return why or word
    if one.word == "invalid":
        return f"invalid: {why}"
    return f"{word} ({why})" if why else word


def verdict_parts(one: MetricVerdict) -> tuple[str, str]:
    """The word, and what belongs to it: its numbers, or why; why there is none is said once for all figures."""
    if one.word is None:
        return ("flagged", one.why) if one.flagged else ("no word", "")
    if one.word == "no change seen":
        said = [f"could have seen >= {percent(one.could_see_percent)} %"] if one.could_see_percent else []
        if one.unchanged_within_percent is not None:
            said.append(f"unchanged within {percent(one.unchanged_within_percent)} %")
        return one.word, "; ".join([*said, *([one.why] if one.why else [])])
    return one.word, one.why


def change_in_percent(value: float, word: str | None) -> str:
    """In percent without the sign of it; where a word says that it is one, it never reads as nothing."""
    return percent(value, "+") if word in CHANGES else f"{value:+z.1f}"


def silences(comparison: Comparison) -> list[str]:
    """Why metrics have no word, each reason once."""
    counts: dict[str, int] = {}
    for point in comparison.points:
        for one in point.metrics.values():
            if one.word is None and not one.flagged:
                counts[one.why] = counts.get(one.why, 0) + 1
    return [f"no word for {count} figures: {why}" for why, count in counts.items()]


def short(one: MetricVerdict) -> str:
    """The same for a line of the changelog: the word and its number."""
    if one.word == "no change seen":
        return f"no change seen >= {percent(one.could_see_percent)}%" if one.could_see_percent else one.word
    if one.word in CHANGES and one.percent is not None:
        return f"{one.word} {percent(one.percent, '+')}%"
    return one.word or ""


def _row(point: str, heading: str, metric: Metric, one: MetricVerdict, said: tuple[str, str]) -> list[str]:
    """Under `COLUMNS`."""
    word, why = said
    change = interval = both = noise = ""
    if one.base is not None and one.head is not None and one.percent is not None:
        both, change, noise = (
            f"{metric.shown(one.base)} → {metric.shown(one.head)}",
            f"{change_in_percent(one.percent, one.word)}%",
            "unknown",
        )
        if one.low_percent is not None and one.high_percent is not None:
            interval = f"{one.low_percent:+z.1f} to {one.high_percent:+z.1f} %"
        if one.spread_percent is not None:
            noise = f"{one.spread_percent:.2f} % ({one.calibration}, {one.df} df)"
    return [point, heading, change, word, interval, both, f"{one.runs[0]}+{one.runs[1]}", noise, why]


def claim_rows(comparison: Comparison) -> list[list[str]]:
    """What came of each claim, under `CLAIM_COLUMNS`."""
    return [
        [
            one.point,
            METRICS[one.metric].about if one.metric in METRICS else one.metric,
            one.claim,
            one.outcome,
            one.why,
        ]
        for one in comparison.claims
    ]


def rows(comparison: Comparison) -> list[list[str]]:
    """A row a point and metric."""
    return [
        _row(one.point, METRICS[name].about, METRICS[name], metric, verdict_parts(metric))
        for one in comparison.points
        for name, metric in one.metrics.items()
    ] + [
        _row(one.point, METRICS[name].about, METRICS[name], metric, ("", metric.why))
        for one in comparison.points
        for name, metric in one.beside.items()
    ]


def whole_rows(comparison: Comparison) -> list[list[str]]:
    """Published figures, a row a point."""
    made = []
    for one in comparison.points:
        cells = [one.point]
        for name in shown_figures(comparison):
            metric, value = METRICS[name], one.whole.get(name)
            cells += (
                [f"{metric.shown(value.base)} → {metric.shown(value.head)}", f"{value.percent:+z.1f}%"]
                if value
                else ["", ""]
            )
        made.append(cells)
    return made


def shown_figures(comparison: Comparison) -> list[str]:
    """The published figures that some point has, without those that have a row of their own."""
    beside = {name for one in comparison.points for name in one.beside}
    return [
        name for name in METRICS if name not in beside and any(name in one.whole for one in comparison.points)
    ]


def whole_columns(comparison: Comparison) -> list[tuple[str, str]]:
    """Headings of `whole_rows`."""
    columns = [("point", "left")]
    for name in shown_figures(comparison):
        columns += [(METRICS[name].heading, "right"), ("diff", "right")]
    return columns


def judged_by(comparison: Comparison) -> str:
    """The rule's version and the ledger's name: whoever has that ledger gets the same words."""
    known = comparison.ledger
    if known is None:
        return "another version's rule"
    name = f"ledger {known.sha256[:10]} of {known.differences:,} differences" if known.sha256 else "no ledger"
    return f"rule {known.rule}, {name}"


def write_text(stream: TextIO, comparison: Comparison) -> None:
    """Tables and lines; texts of nodes without what a terminal or Actions would read as a command."""
    if comparison.points:
        tables.table(
            stream, "Steady window, base → head", COLUMNS, [list(map(clean, row)) for row in rows(comparison)]
        )
    if shown_figures(comparison):
        stream.write("\n")
        tables.table(
            stream, "Means of whole runs, base → head", whole_columns(comparison), whole_rows(comparison)
        )
    lines = silences(comparison)
    lines += [f"new: {point}" for point in comparison.new] + [f"gone: {point}" for point in comparison.gone]
    lines += [
        f"claim: {one.point} {one.metric} {one.claim}: {one.outcome} ({one.why})" for one in comparison.claims
    ]
    lines += [f"where the time went: {one.text}" for one in comparison.reasons]
    lines += [*(f"note: {note}" for note in comparison.notes), *filter(None, [comparison.sensitivity])]
    lines += [f"judged by {judged_by(comparison)}"] if comparison.ledger else []
    lines.append(comparison.headline.text)
    stream.writelines(f"{clean(' '.join(line.split()))}\n" for line in lines)


def markdown(comparison: Comparison) -> str:
    """A headline, what may be a change, and everything else folded away: at most `NOTABLE` rows are visible, however many there are."""
    out = io.StringIO()
    out.write(f"**{escape(comparison.headline.text)}**\n\n")
    if comparison.sensitivity:
        out.write(f"{escape(comparison.sensitivity[:1].upper() + comparison.sensitivity[1:])}.\n\n")
    wanted = _notable(comparison)
    if wanted:
        out.write(table([COLUMNS[n][0] for n in SHORT], wanted[:NOTABLE]) + "\n")
    if len(wanted) > NOTABLE:
        out.write(f"and {len(wanted) - NOTABLE} more rows in the folded table\n\n")
    if comparison.claims:
        out.write(table(CLAIM_COLUMNS, claim_rows(comparison)[:NOTABLE]) + "\n")
    listed = (
        [f"new points ({len(comparison.new)}): {', '.join(comparison.new[:3])}"] if comparison.new else []
    )
    listed += (
        [f"points that are gone ({len(comparison.gone)}): {', '.join(comparison.gone[:3])}"]
        if comparison.gone
        else []
    )
    listed += [f"where the time went: {one.text}" for one in comparison.reasons]
    listed += [*silences(comparison)[:5], *(f"note: {note}" for note in comparison.notes[:5])]
    out.writelines(f"- {escape(line)}\n" for line in listed)
    if comparison.points:
        body = table([name for name, _ in COLUMNS], rows(comparison))
        if shown_figures(comparison):
            body += "\nMeans of whole runs, as the field publishes them; nothing is judged by them.\n\n"
            body += table([name for name, _ in whole_columns(comparison)], whole_rows(comparison))
        out.write("\n" + folded(f"All {len(comparison.points)} points", body))
    return out.getvalue()


def _notable(comparison: Comparison) -> list[list[str]]:
    """Rows of what may be a change, the worst first; a point that is invalid as a whole has one row."""
    made = []
    for word in WORST_FIRST:
        for one in comparison.points:
            standing = [
                (name, m) for name, m in one.metrics.items() if m.word == word and (m.flagged or word)
            ]
            for name, metric in standing[:1] if word == "invalid" else standing:
                heading = "all" if word == "invalid" else METRICS[name].about
                row = _row(one.point, heading, METRICS[name], metric, verdict_parts(metric))
                made.append([row[n] for n in SHORT])
    return made


def words(one: PointVerdict) -> dict[str, str]:
    """Metric -> word with its number, for the changelog; without what has none."""
    return {name: text for name, metric in one.metrics.items() if (text := short(metric))}


def scores(one: PointVerdict) -> dict[str, str]:
    """Task -> its verdict with both scores, for the changelog."""
    return {
        task: f"{said.verdict} {said.base:.1f}% to {said.head:.1f}%"
        if said.base is not None and said.head is not None
        else said.verdict
        for task, said in one.accuracy.items()
    }
