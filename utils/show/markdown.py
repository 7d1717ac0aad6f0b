"""Markdown that stays what it is, whatever text goes into it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from utils.show.foreign import visible

if TYPE_CHECKING:
    from collections.abc import Sequence


_BREAK = "\u2060"
"""A word joiner: nothing to see, and no link, mention or reference goes on behind it, also in what GitHub looks for after rendering,
where neither `\\@` nor `&#64;` helps."""
_LIVE = re.compile(
    r"(?P<key>\b(?:k1|local):[0-9a-f]{16}\b|\.tp\d[a-z0-9-]*\.[0-9a-f]{8}\b)"  # names of points and jobs stay as they can be copied
    r"|@(?=\S)"  # mentions, addresses, mailto and xmpp
    r"|#(?=\d)"  # references to issues, also OWNER/NAME#1
    r"|(?i:gh)-(?=\d)"
    r"|:(?=//)|(?i:www)(?=\.)"  # links of any scheme
    r"|(?P<commit>(?<![0-9A-Za-z])[0-9a-f]{7,40}(?![0-9A-Za-z]))"  # also of forks
)
_MARK = re.compile(r"([\\`*_|\[\]#~!$]|^[-+](?=[-\s]|$)|^\d+(?=[.)](?:\s|$)))")
_PIECE = 6
"""Letters of a commit that link to nothing."""


def escape(text: str) -> str:
    """Text of others in a sentence or a cell: no markup, no HTML, no link, mention or reference, no row's end, no token."""
    text = _MARK.sub(
        lambda match: match[0] + "\\" if match[0].isdigit() else "\\" + match[0],
        _broken(visible(text).strip()),
    )
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _broken(text: str) -> str:
    """The text with a joiner in each word that GitHub would make something of."""

    def broken(match: re.Match[str]) -> str:
        if match["key"]:
            return match[0]
        if match["commit"]:
            return _BREAK.join(match[0][at : at + _PIECE] for at in range(0, len(match[0]), _PIECE))
        return match[0] + _BREAK

    return _LIVE.sub(broken, text)


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of such texts."""
    written = [heads, ["---"] * len(heads), *([escape(cell) for cell in line] for line in lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in written)


def folded(title: str, body: str) -> str:
    """Shown when somebody asks for it."""
    return f"<details><summary>{escape(title)}</summary>\n\n{body.rstrip()}\n\n</details>\n"


def code(text: str) -> str:
    """One line in a block of code that the line cannot leave."""
    clean = visible(text).replace("`", "'").strip()
    return f"`{clean or ' '}`"
