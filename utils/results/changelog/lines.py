"""The changelog's text: where sections and entries stand, and how a line is written."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix.strict_yaml import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOOLS_KEYS = {
    "format",
    "date",
    "changed",
    "result",
    "notes",
    "base",
    "head",
    "runs",
    "claims",
    "points",
    "missing",
    "stale",
}
"""Keys of an entry that the tool writes."""


def mapping(values: Mapping[str, str]) -> str:
    """A flow mapping of scalars that are written already."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


def scalar(words: str) -> str:
    """A scalar for a flow mapping: plain where that is safe, else in double quotes."""
    plain = re.fullmatch(
        r"[A-Za-z][A-Za-z0-9 ./=_→-]*[A-Za-z0-9]|[0-9][A-Za-z0-9./_-]* → [A-Za-z0-9][A-Za-z0-9./_-]*", words
    )
    safe = plain and not re.fullmatch(r"(?i)yes|no|on|off|true|false|null", words)
    return words if safe else json.dumps(words, ensure_ascii=False)


def sha(commit: str) -> str:
    """A commit as text: in quotes where all of its digits make a number (0123…, 12e3…)."""
    return commit if is_text(commit) else json.dumps(commit)


def section_lines(lines: Sequence[str], name: str) -> tuple[int, int]:
    """First line of a section and the line after its last; for a new one, both where it belongs."""
    starts = [
        (i, line.split(":")[0].strip("\"'"))
        for i, line in enumerate(lines)
        if re.match(r"[A-Za-z0-9\"']", line)
    ]
    for at, (line, found) in enumerate(starts):
        following = starts[at + 1][0] if at + 1 < len(starts) else len(lines)
        if found == name:
            return line, following
        if found > name:
            return line, line
    return len(lines), len(lines)


def entry_lines(lines: Sequence[str], start: int, end: int, number: int) -> tuple[int, int]:
    """First line of an entry of a section and the line after its last."""
    starts = [i for i in range(start, end) if lines[i].startswith("- ")]
    last = starts[number + 1] if number + 1 < len(starts) else end
    while not lines[last - 1].strip() or lines[last - 1].startswith("#"):
        last -= 1  # blank lines and remarks in the first column belong to what follows
    return starts[number], last


def without_tools_part(entry: Sequence[str]) -> list[str]:
    """An entry's lines as their author wrote them."""
    kept: list[str] = []
    ours = False
    for line in entry:
        if match := re.match(r"(?:- |  )([a-z]+):", line):
            ours = match[1] in TOOLS_KEYS
        if not ours:
            kept.append(line)
    return kept
