"""What a sweep found: the value that the judging job hands to the publishing one, and the comment made from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from xml.etree import ElementTree as ET

from pydantic import StringConstraints

from matrix.schema import Value
from utils.report import verdict_comment
from utils.results.collect import Missing
from utils.results.verdict.outcome import Comparison
from utils.results.verdict.present import judged_by
from utils.show.markdown import code, escape, folded, table

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING_ROWS = 6
NOTHING = "**No verdict: no point has figures of both arms**\n\n"


REPORT = "report.json"
"""The file by which one job hands it to another."""
PICTURE = "effects.svg"
"""The comment's picture, beside it; empty where there is none."""
MOST_PICTURE = 200_000
_MARKS = {"svg", "g", "path", "rect", "line", "text", "tspan", "title", "desc"}
"""Elements that a drawing of ours has."""


def safe_picture(content: bytes) -> bool:
    """Whether a file of another job is a picture of marks and words alone: nothing runs in it, and it asks for nothing."""
    if not 0 < len(content) <= MOST_PICTURE or not content.startswith(b"<svg ") or b"<!" in content:
        return False
    try:
        root = ET.fromstring(content)  # noqa: S314 - small, and without <! it declares no entities
    except ET.ParseError:
        return False
    for one in root.iter():
        names = [name.rpartition("}")[2].lower() for name in one.attrib]
        if one.tag.rpartition("}")[2] not in _MARKS or any(
            name == "href" or name.startswith("on") for name in names
        ):
            return False
        if any("url(" in value.lower() for value in one.attrib.values()):
            return False
    return True


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


def parts(report: Report, run_url: str, pair: str, picture: str = "") -> list[str]:
    """The comment: the verdict first, then what moved, what is missing, and how to repeat it; the rest is folded.

    Args:
        report: what was found.
        run_url: of the sweep's run.
        pair: what it was compared with.
        picture: address of the picture; the words stand without it.
    """
    found = report.comparison
    said = verdict_comment.parts(found, picture) if found else [NOTHING]
    visible = [said[0]]
    rows = [[one.point, one.why[:200], "yes" if one.retry else "no"] for one in report.missing]
    if rows:
        visible.append("\n" + table(["missing", "why", "worth another try"], rows[:MISSING_ROWS]))
        if len(rows) > MISSING_ROWS:
            visible.append(f"\nand {len(rows) - MISSING_ROWS} more are missing\n")
    visible.append("\n" + "".join(f"- {escape(text)}\n" for text in report.notes[:5]))
    visible.append(_evidence(report, run_url))
    visible.append(f"- repeat a point: {code(_repeat(report, pair))}\n")
    made = ["".join(visible), *said[1:]]
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
        about = f"base `{found.base_commit[:10]}`, {about}, on {escape(found.device)}; {judged_by(found)}"
    return f"- {about}; [logs and raw data]({run_url})\n"


def _repeat(report: Report, pair: str) -> str:
    points = [one.point for one in report.comparison.points] if report.comparison else []
    points += [one.point for one in report.missing]
    point = points[0] if points else "POINT"
    return f"git worktree add ../pull {report.sha} && ./servematrix run {point} --pair {pair} --tree ../pull"
