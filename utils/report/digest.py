"""A week in Markdown: what was measured, what changed, what wants a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from matrix.metrics import METRICS
from utils.report.numbers import three
from utils.show.markdown import escape, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.report.alerts import Alert
    from utils.results.changelog.entries import Entry
    from utils.results.history import Measurement

DAYS = 7


def digest(
    history: Mapping[str, Sequence[Measurement]],
    entries: Mapping[str, Sequence[Entry]],
    alerts: Sequence[Alert],
    stale: Sequence[str],
    trust: str,
) -> str:
    """The seven days up to the newest measurement.

    Args:
        history: point -> its measurements.
        entries: recipe -> its entries.
        alerts: all of them.
        stale: which entries have other keys than the recipes today.
        trust: a sentence on false alarms.
    """
    last = max((one.day for ones in history.values() for one in ones), default="")
    if not last:
        return "# Week\n\nNothing was measured yet.\n"
    first = (datetime.fromisoformat(last).replace(tzinfo=UTC) - timedelta(days=DAYS - 1)).strftime("%Y-%m-%d")
    measured = sum(first <= one.day <= last for ones in history.values() for one in ones)
    fresh = [one for one in alerts if first <= one.step.day <= last]
    older = [one for one in alerts if one.state == "new" and one.step.day < first]
    out = [
        f"# Week of {first} to {last}\n\n**{_headline(fresh)}{_waiting(len(older))}; {measured} measurements of {len(history)} points.**\n"
    ]
    if told := [*fresh, *older]:
        rows = [
            [one.point, METRICS[one.step.metric].heading, *_step(one), one.step.day, one.state]
            for one in told
        ]
        out.append(
            "\n## Alerts\n\n"
            + table(["point", "metric", "before", "after", "change", "since", "state"], rows)
        )
    done = [
        (recipe, one)
        for recipe, ones in entries.items()
        for one in ones
        if one.date and first <= one.date <= last
    ]
    out.append(
        "\n## Changes\n\n" + "".join(f"- {escape(f'{recipe}: {_name(one)}')}\n" for recipe, one in done)
        if done
        else "\n## Changes\n\nNo entry of these days.\n"
    )
    out.append("\n## Stale\n\n" + ("".join(f"- {escape(line)}\n" for line in stale[:20]) or "Nothing.\n"))
    out.append(f"\n## The harness itself\n\n{escape(trust) or 'Nothing was measured against itself.'}\n")
    return "".join(out)


def _headline(fresh: Sequence[Alert]) -> str:
    waiting = [one for one in fresh if one.state == "new"]
    if not waiting:
        return "No new alert"
    worst = max(waiting, key=lambda one: abs(one.step.percent))
    text = f"{worst.point} {METRICS[worst.step.metric].heading} {worst.step.percent:+z.1f} %"
    return f"{len(waiting)} new alert{'s' if len(waiting) > 1 else ''}, the worst {escape(text)}"


def _waiting(older: int) -> str:
    """Alerts of earlier weeks that nobody has seen to."""
    return f"; {older} of earlier weeks still wait" if older else ""


def _step(one: Alert) -> list[str]:
    return [three(one.step.before), three(one.step.after), f"{one.step.percent:+z.1f} %"]


def _name(entry: Entry) -> str:
    number = f"#{entry.pr} " if entry.pr else ""
    return f"{number}{entry.title}" + (f": {entry.result}" if entry.result else "")
