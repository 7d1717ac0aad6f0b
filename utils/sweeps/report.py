"""What a sweep found: the value that the judging job hands to the publishing one, and the comment made from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import StringConstraints

from matrix.schema import Value
from utils.results.collect import Missing
from utils.results.verdict import presentation
from utils.results.verdict.comparison import Comparison
from utils.show.markdown import code, escape, folded, table

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING_ROWS = 6


REPORT = "report.json"
"""The file by which one job hands it to another."""


class Report(Value):
    """Everything that is published."""

    schema_version: Literal[1] = 1
    sha: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    pull: int
    comparison: Comparison | None
    """None where no point has both arms."""
    alone: list[str]
    """Points that were measured without a base, each with its figures in a line."""
    missing: list[Missing]
    changelog: str
    """The whole file with the entry; empty where there is none to write."""
    notes: list[str]


def parts(report: Report, run_url: str, pair: str) -> list[str]:
    """The comment: the verdict first, then what moved, what is missing, and how to repeat it; the rest is folded."""
    found = report.comparison
    visible = [
        presentation.markdown(found) if found else "**No verdict: no point has figures of both arms**\n\n"
    ]
    rows = [[one.point, one.why[:200], "yes" if one.retry else "no"] for one in report.missing]
    if rows:
        visible.append("\n" + table(["missing", "why", "worth another try"], rows[:MISSING_ROWS]))
        if len(rows) > MISSING_ROWS:
            visible.append(f"\nand {len(rows) - MISSING_ROWS} more are missing\n")
    visible.append("\n" + "".join(f"- {escape(text)}\n" for text in report.notes[:5]))
    visible.append(_evidence(report, run_url))
    visible.append(f"- repeat a point: {code(_repeat(report, pair))}\n")
    made = ["".join(visible)]
    if report.alone:
        made.append(
            "\n" + folded("Measured without a base", "".join(f"- {escape(line)}\n" for line in report.alone))
        )
    if len(rows) > MISSING_ROWS:
        made.append(
            "\n" + folded("All that is missing", table(["missing", "why", "worth another try"], rows))
        )
    return made


def patch(lines: Sequence[str]) -> str:
    """A diff to apply by hand, for a branch that we may not write to."""
    body = "".join(lines)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", body)), default=2))
    return "\n" + folded("The entry, as a patch for this fork's branch", f"{fence}diff\n{body}{fence}")


def _evidence(report: Report, run_url: str) -> str:
    found = report.comparison
    about = f"head `{report.sha[:10]}`"
    if found:
        about = f"base `{found.base_commit[:10]}`, {about}, on {escape(found.device)}"
    return f"- {about}; [logs and raw data]({run_url})\n"


def _repeat(report: Report, pair: str) -> str:
    points = [one.point for one in report.comparison.points] if report.comparison else []
    points += [one.point for one in report.missing]
    point = points[0] if points else "POINT"
    return f"git worktree add ../pull {report.sha} && ./servematrix run {point} --pair {pair} --tree ../pull"
