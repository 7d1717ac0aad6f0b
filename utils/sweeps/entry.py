"""A report's entry: the pull request's changelog with the figures in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from utils.results.changelog import edit
from utils.results.changelog import entries as changelog
from utils.results.changelog.absent import absent
from utils.sweeps import baseline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison
    from utils.sweeps.report import Report


def committed_changelog(tree: Path) -> bytes:
    """A checkout's changelog; one that is a link, or leads elsewhere, is refused."""
    path = tree / changelog.FILE
    return Folder(tree).read(changelog.FILE) if path.is_symlink() or path.exists() else b""


def refuse_bad_changelog(tree: Path) -> None:
    """Refuse before anything runs what the judging job could not fill: a link, a folder, another encoding, another format.

    Raises:
        HarnessError: CHANGELOG_INVALID or RECIPE_UNREADABLE.
    """
    try:
        changelog.read(committed_changelog(tree))
    except UnicodeDecodeError as error:
        raise HarnessError(
            Exit.CHANGELOG_INVALID,
            f"{changelog.FILE} is not UTF-8; write it as such, without an encoding in .gitattributes",
        ) from error


def with_entry(
    report: Report, records: Sequence[Record], comparison: Comparison | None, tree: Path, run_url: str
) -> Report:
    """The report with the pull request's changelog filled, a recipe at a time; where there is no stub, a note says so."""
    text = committed_changelog(tree)
    notes = list(report.notes)
    for recipe in sorted({one.point.split("/")[0] for one in records}):
        head, base = (
            [one for one in records if one.arm == arm and one.point.startswith(f"{recipe}/")]
            for arm in ("head", "base")
        )
        stub = edit.Stub(report.pull, "", ()) if report.pull else baseline.stub(text, recipe, report.sha)
        try:
            text = edit.add(
                text,
                changelog.FILE,
                head,
                base,
                stub,
                comparison=comparison,
                runs=[run_url],
                absent=absent(tree, head, left=report.missing),
            ).encode()
        except HarnessError as error:
            notes.append(f"no entry of {recipe}: {error}"[:500])
    return report.model_copy(update={"changelog": text.decode(), "notes": notes})
