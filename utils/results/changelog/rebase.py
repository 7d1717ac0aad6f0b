"""Two changelogs that grew apart, put together by entries instead of lines; what the authors wrote stays to the letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.results.changelog import entries as changelog
from utils.results.changelog.edit import TITLE
from utils.results.changelog.lines import entry_lines, section_lines, without_tools_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.changelog.entries import Entry


@dataclass(frozen=True, slots=True)
class _File:
    """One of the three versions."""

    lines: list[str]
    sections: dict[str, list[Entry]]

    @classmethod
    def of(cls, content: bytes, name: str) -> _File:
        text = content.decode("utf-8-sig")
        return cls(text.splitlines(keepends=True), changelog.read(content, name).root)

    def entry(self, recipe: str, number: int) -> list[str]:
        """An entry's lines."""
        first, last = entry_lines(self.lines, *section_lines(self.lines, recipe), number)
        return self.lines[first:last]


def rebase(base: bytes, ours: bytes, onto: bytes, where: str) -> str:
    """The changelog `onto`, with what ours has beyond the base on top of its sections.

    An entry of ours in a section that `onto` changed as well was measured against what is not its base any more: its figures
    go, and it says so until it is measured again.

    Args:
        base: the version that both come from; empty where there was none.
        ours: the version with new entries.
        onto: the version that they go onto.
        where: the commit of `onto`, for the mark.

    Raises:
        HarnessError: CHANGELOG_INVALID where both sides changed one entry.
    """
    old, mine, new = (
        _File.of(one, name) for one, name in ((base, "the base"), (ours, "ours"), (onto, where[:12]))
    )
    lines = list(new.lines) or [TITLE]
    for recipe, entries in mine.sections.items():
        before, theirs = old.sections.get(recipe, []), new.sections.get(recipe, [])
        _refuse_two_changes(recipe, before, entries, theirs)
        added = [n for n, entry in enumerate(entries) if _name(entry) not in set(map(_name, before))]
        added = [n for n in added if _name(entries[n]) not in set(map(_name, theirs))]
        moved = theirs != before
        blocks = [_stale(mine.entry(recipe, n), where) if moved else mine.entry(recipe, n) for n in added]
        lines = _on_top(lines, recipe, [line for block in blocks for line in block])
        for n, entry in enumerate(entries):
            known = next((one for one in before if _name(one) == _name(entry)), None)
            if known is not None and known != entry:
                lines = _in_place(lines, recipe, entry, mine.entry(recipe, n))
    text = "".join(lines)
    changelog.read(text.encode())
    return text


def _name(entry: Entry) -> tuple[int | None, str]:
    """What makes it the same entry in two versions."""
    return (entry.pr, "" if entry.pr else entry.title)


def _refuse_two_changes(
    recipe: str, before: Sequence[Entry], mine: Sequence[Entry], theirs: Sequence[Entry]
) -> None:
    sides = [{_name(entry): entry for entry in entries} for entries in (before, mine, theirs)]
    for name in sides[1].keys() & sides[2].keys():
        old, ours, new = (side.get(name) for side in sides)
        if ours != new and old not in (ours, new):
            about = f"#{name[0]}" if name[0] else repr(name[1])
            raise HarnessError(
                Exit.CHANGELOG_INVALID,
                f"both sides changed the entry {about} of {recipe}; merge that entry by hand",
            )


def _stale(block: Sequence[str], where: str) -> list[str]:
    kept = without_tools_part(block)
    if len(kept) == len(block):  # it had no figures yet
        return list(block)
    return [*kept, f"  stale: measured before {where[:12]}; measure it again\n"]


def _on_top(lines: list[str], recipe: str, block: Sequence[str]) -> list[str]:
    """The lines with entries at the top of a section, which is made where it belongs."""
    if not block:
        return lines
    start, end = section_lines(lines, recipe)
    if start == end:
        return [*lines[:end], f"{recipe}:\n", *block, *lines[end:]]
    return [*lines[: start + 1], *block, *lines[start + 1 :]]


def _in_place(lines: list[str], recipe: str, entry: Entry, block: Sequence[str]) -> list[str]:
    """The lines with an entry of ours in the place of the one that only we changed."""
    now = changelog.read("".join(lines).encode()).root[recipe]
    number = next(n for n, one in enumerate(now) if _name(one) == _name(entry))
    first, last = entry_lines(lines, *section_lines(lines, recipe), number)
    return [*lines[:first], *block, *lines[last:]]
