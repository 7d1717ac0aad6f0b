"""A changelog in today's format: figures of older entries in today's units, each line as it is written today."""

from __future__ import annotations

import re

from utils.results.changelog import entries as changelog
from utils.results.changelog.lines import entry_lines, point_line, section_lines


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
            if entry.points and not any(re.match(r"(- |  )format:", line) for line in block):
                lines[first:last] = _todays(block, entry)
                done += 1
    text = "".join(lines)
    changelog.read(text.encode(), file)
    return text, done


def _todays(block: list[str], entry: changelog.Entry) -> list[str]:
    """An entry's lines with its format named, and its points written anew."""
    found = []
    for line in block:
        name = re.match(r"    ([^\s:{}]+): \{.*\}$", line)
        if re.match(r"(- |  )points:", line):
            found.append(f"  format: {changelog.FORMAT}\n")
        if name and name[1] in entry.points:
            found.append(point_line(name[1], entry.points[name[1]]))
        else:
            found.append(line)
    return found
