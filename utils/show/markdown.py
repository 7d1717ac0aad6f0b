"""Markdown that stays what it is, whatever text goes into it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matrix.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence


_INVISIBLE = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\u202a-\u202e\u2066-\u2069\s]+")


def escape(text: str) -> str:
    """Text of others: no markup, no HTML, no mention, no row's end, no control character, no token."""
    text = _INVISIBLE.sub(" ", redacted(text))
    text = re.sub(r"([\\`*_|\[\]#~!])", r"\\\1", text)
    text = re.sub("&", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"(?i)\b(https?|www)(:|\.)", r"\1&#8203;\2", text)


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of such texts."""
    written = [heads, ["---"] * len(heads), *([escape(cell) for cell in line] for line in lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in written)


def folded(title: str, body: str) -> str:
    """Shown when somebody asks for it."""
    return f"<details><summary>{escape(title)}</summary>\n\n{body.rstrip()}\n\n</details>\n"


def code(text: str) -> str:
    """One line in a block of code that the line cannot leave."""
    clean = _INVISIBLE.sub(" ", redacted(text)).replace("`", "'")
    return f"`{clean}`"
