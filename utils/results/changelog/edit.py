"""Write measured figures into perf-changelog.yaml; what the author wrote stays as it is, to the letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.node.spec import UNKNOWN
from utils.results.changelog import entries as changelog
from utils.results.changelog.facts import facts
from utils.results.changelog.lines import entry_lines, scalar, section_lines, without_tools_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison

TITLE = "# What changed, and what it did to the numbers. See docs/changelog.md.\n"


@dataclass(frozen=True, slots=True)
class Stub:
    """What a person says of a change, where it does not stand in the file yet."""

    pr: int | None
    title: str
    why: tuple[str, ...]


def add(
    content: bytes,
    file: str,
    head: Sequence[Record],
    base: Sequence[Record],
    stub: Stub,
    *,
    comparison: Comparison | None = None,
    runs: Sequence[str] = (),
    absent: Mapping[str, str] | None = None,
) -> str:
    """The changelog with the figures of one recipe's records.

    Args:
        content: the file as it is.
        file: its name, for errors.
        head: what was measured.
        base: what it is compared with; empty for a first entry.
        stub: finds the entry by its pull request, and makes one if it says title and why.
        comparison: the comparison with the base.
        runs: addresses of the runs.
        absent: points of the recipe without a record, by name without the recipe, each with the reason.

    Raises:
        HarnessError: CHANGELOG_INVALID, NOT_COMPARABLE where no commit is that of the records.
    """
    recipes = sorted({record.point.split("/")[0] for record in head})
    if len(recipes) != 1:
        raise HarnessError(
            Exit.USAGE,
            f"the records are of {len(recipes)} recipes ({', '.join(recipes)}); name the folders of one at a time",
        )
    if unknown := [
        record for record in head if UNKNOWN in {record.provenance.commit, record.provenance.tree_commit}
    ]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{len(unknown)} records do not say which commit they are of: git could not read the checkout when they were "
            "measured (the run said why at its start); let git read it, and measure again",
        )
    if unclean := [
        record for record in head if not (record.provenance.clean and record.provenance.tree_clean)
    ]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{len(unclean)} records were measured with uncommitted changes, so no commit describes them; commit, and measure again",
        )
    log = changelog.read(content, file)
    text = content.decode("utf-8-sig")
    lines = text.splitlines(keepends=True) if text.strip() else [TITLE]
    start, end = section_lines(lines, recipes[0])
    entries = log.root.get(recipes[0], [])
    number = _find(entries, stub)
    older = entries[0 if number is None else number + 1 :]
    made = facts(head, base, comparison, runs=runs, below=older[0] if older else None, absent=absent or {})
    if number is None:
        author = _author_lines(stub, recipes[0])
        at = start + 1 if entries else end
        heading = [] if entries else [f"{recipes[0]}:\n"]
        new = [*lines[:at], *heading, *author, *made, *lines[at:]]
    else:
        first, last = entry_lines(lines, start, end, number)
        new = [*lines[:first], *without_tools_part(lines[first:last]), *made, *lines[last:]]
    result = "".join(new)
    changelog.read(result.encode(), file)
    return result


def _find(entries: Sequence[changelog.Entry], stub: Stub) -> int | None:
    """The entry that is meant: of the same pull request, else one that waits at the top."""
    for number, entry in enumerate(entries):
        if stub.pr is not None and entry.pr == stub.pr:
            return number
    if entries and entries[0].is_stub and entries[0].pr is None and not stub.title:
        return 0
    if entries and entries[0].is_stub and stub.pr in {None, entries[0].pr} and not stub.title:
        return 0
    return None


def _author_lines(stub: Stub, recipe: str) -> list[str]:
    if not stub.title or not stub.why:
        raise HarnessError(
            Exit.CHANGELOG_INVALID,
            f"no entry of {recipe} waits for figures{f' of pull request {stub.pr}' if stub.pr else ''}; "
            "write one with pr, title and why, or give --title and --why",
        )
    lines = [f"pr: {stub.pr}\n"] if stub.pr else []
    lines.append(f"title: {scalar(stub.title)}\n")
    lines.append(f"why: [{', '.join(scalar(reason) for reason in stub.why)}]\n")
    return [("- " if number == 0 else "  ") + line for number, line in enumerate(lines)]
