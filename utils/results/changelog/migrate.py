"""A changelog in today's format: figures of older entries in today's units, each line as it is written today."""

from __future__ import annotations

import re

from utils.results import summary
from utils.results.changelog import entries as changelog
from utils.results.changelog.lines import entry_lines, section_lines
from utils.results.changelog.rows import heading, written


def migrated(content: bytes, file: str = changelog.FILE) -> tuple[str, int]:
    """The file, and how many entries had to be written anew; what their authors wrote stays to the letter.

    Raises:
        HarnessError: CHANGELOG_INVALID.
    """
    log = changelog.read(content, file)
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    done = 0
    for recipe, entries in log.root.items():
        for number, entry in enumerate(entries):
            first, last = entry_lines(lines, *section_lines(lines, recipe), number)
            block = lines[first:last]
            if entry.points and entry.format != changelog.FORMAT:
                lines[first:last] = _todays(block, entry)
                done += 1
    text = "".join(lines)
    changelog.read(text.encode(), file)
    return text, done


def _todays(block: list[str], entry: changelog.Entry) -> list[str]:
    """An entry's lines with its format named, and its points written anew; remarks among them stay."""
    rows = dict(zip(entry.points, written(entry.points), strict=True))
    found = []
    for line in block:
        name = re.match(r"    ([^\s:{}]+): +\{.*\}$", line)
        if re.match(r"  format:", line):
            continue
        if re.match(r"(- |  )points:", line):
            found += [f"  format: {changelog.FORMAT}\n", *_notes(entry), heading(entry.points)]
        elif name and name[1] in rows:
            found.append(rows[name[1]])
        else:
            found.append(line)
    return found


def _notes(entry: changelog.Entry) -> list[str]:
    silent = sum(line.word == summary.NONE for line in entry.points.values())
    if not silent:
        return []
    return [
        "  notes:\n",
        f"    - no verdict for {silent} of {len(entry.points)} points, and this older entry does not say why\n",
    ]
