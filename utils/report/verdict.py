"""The page's first sentence, and the comparison that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matrix.metrics import METRICS, percent
from utils.report import pictures
from utils.report.numbers import three
from utils.results import summary
from utils.results.verdict.present import change_in_percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.report.grouped import Point
    from utils.report.pictures import Picture
    from utils.results.verdict.outcome import Comparison, MetricVerdict


MOST = 6
"""Notes that are shown."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is said first."""

    text: str
    mood: str = ""
    notes: list[str] = field(default_factory=list)
    words: str = ""
    table: dict[str, Any] | None = None
    pictures: list[Picture] = field(default_factory=list)


def verdict(comparison: Comparison | None, known: Sequence[Point], refused: str = "") -> Said:
    """Of a comparison its result; else what was measured, and why there is no verdict.

    Args:
        comparison: the comparison.
        known: what was measured.
        refused: why there is no comparison of two arms.
    """
    if comparison is None or not comparison.points:
        good = sum(one.measured for one in known)
        arms = {one.arm for one in known}
        why = "one arm alone was measured" if len(arms) < 2 else refused or "the arms have no point in common"  # noqa: PLR2004 - base and head
        return Said(
            f"{good} of {len(known)} points have figures. No verdict: {why}.",
            notes=cut(summary.notes(comparison)) if comparison else [],
        )
    counts = summary.counts(comparison)
    rows = by_effect(comparison)
    table = {
        "heads": ["point", "metric", "base", "head", "change", "95 % interval", "verdict", "could have seen"],
        "lines": [_line(row) for row in rows],
        "numbers": (2, 3, 4, 5, 7),
    }
    drawn = once(rows)
    return Said(
        summary.result(comparison) + ".",
        next((word for word in ("regression", "improvement") if counts.get(word)), ""),
        cut([*summary.reasons(comparison), *summary.causes(comparison), *summary.notes(comparison)]),
        "Rows by effect; figures of the steady window.",
        table,
        [pictures.effects(drawn, "", alone=False)] if drawn else [],
    )


def cut(lines: list[str]) -> list[str]:
    """At most `MOST` of them, and how many more there are."""
    return lines if len(lines) <= MOST else [*lines[:MOST], f"and {len(lines) - MOST} more notes"]


def by_effect(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a point and judged metric: what is worse first, then by the size of the effect."""
    rank = {"regression": 0, "improvement": 1, "invalid": 2}
    rows = [
        {
            "point": point.point, "metric": name, "base": point.metrics[name].base, "head": point.metrics[name].head,
            "percent": one.percent, "low": one.low, "high": one.high, "word": _word(one, point.metrics[name]), "could_see": one.could_see,
            "why": one.why, "text": f"{point.point.split('/')[-1]} {METRICS[name].about}: {one.text}",
        }
        for point in comparison.points
        for name, one in summary.by_metric(point).items()
        if not point.invalid
    ] + [
        dict.fromkeys(("base", "head", "percent", "low", "high", "could_see"))
        | {"point": point.point, "metric": "", "word": "invalid", "why": point.invalid, "text": f"{point.point}: {point.invalid}"}
        for point in comparison.points
        if point.invalid
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (rank.get(row["word"], 3), -abs(row["percent"] or 0)))


def _word(seen: summary.Seen, judged: MetricVerdict) -> str:
    """Its own; of what waits to be measured once more, that."""
    return "flagged" if judged.flagged and judged.word is None else seen.word


def once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a point's metrics that see one cause the first row alone, so the worst; rows without an effect have none here."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for row in rows:
        if row["percent"] is None:
            continue
        cause = (row["point"], METRICS[row["metric"]].cause or row["metric"])
        if cause not in seen:
            seen.add(cause)
            kept.append(row)
    return kept


def _line(row: dict[str, Any]) -> list[str]:
    def number(value: float | None) -> str:
        return "" if value is None else three(value)

    interval = f"{row['low']:+z.1f} to {row['high']:+z.1f} %" if row["low"] is not None else ""
    return [
        row["point"].split("/")[-1], METRICS[row["metric"]].about if row["metric"] else "all", number(row["base"]), number(row["head"]),
        "" if row["percent"] is None else f"{change_in_percent(row['percent'], row['word'])} %", interval, row["word"],
        "" if row["could_see"] is None else f">= {percent(row['could_see'])} %",
    ]  # fmt: skip
