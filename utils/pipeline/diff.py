"""What a range of commits changed: the lines that can move a number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matrix.source import git

if TYPE_CHECKING:
    from pathlib import Path


FOLDERS = ("recipes", "kernels", "requirements")
MOST = 100
"""Lines that are told; a person looks at the diff for more."""
LONGEST = 160


def lines(root: Path, base: str, head: str = "") -> list[str]:
    """`FILE:LINE: + TEXT` for each added line and `- TEXT` for each that is gone; without a head, up to the working tree.

    Args:
        root: of the repository.
        base: a commit.
        head: a commit, or an empty text.
    """
    options = ["--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-prefix"]
    diff = git(
        root, "-c", "core.quotePath=true", "diff", *options, base, *([head] if head else []), "--", *FOLDERS
    )
    found: list[str] = []
    file, old, new = "", 0, 0
    header = True
    for line in diff.decode(errors="replace").split("\n"):
        if line.startswith("diff --git "):
            header, file = True, ""
        elif header and (match := re.match(r"(?:\+\+\+|---) (.+?)\t?$", line)):
            file = file if match[1] == "/dev/null" else match[1]
        elif match := re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)", line):
            header, old, new = False, int(match[1]), int(match[2])
        elif not header and line[:1] in {"+", "-"}:
            number = new if line[0] == "+" else old
            found.append(f"{file}:{number}: {line[0]} {line[1:].strip()[:LONGEST]}")
            new, old = new + (line[0] == "+"), old + (line[0] == "-")
    more = len(found) - MOST
    return found if more <= 0 else [*found[:MOST], f"… and {more} more lines"]
