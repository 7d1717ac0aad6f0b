"""What the tool itself knows of a change: the parts of the keys that differ between the arms."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from matrix.key import differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.node.record import Record

UNSET = "unset"
LONGEST = 80
AHEAD = 12
"""Of two long values that begin alike, the letters shown before they part."""
_HASH = 16
"""Letters of a digest of files; seven of them name it."""


def changed(head: Sequence[Record], base: Sequence[Record]) -> dict[str, str]:
    """Part of the key -> `before → after`, over the points that both arms have.

    A part that changed in some points alone, or differently, says in how many.
    """
    before = {one.point: one.parts for one in base}
    pairs = {one.point: (before[one.point], one.parts) for one in head if one.point in before}
    found: dict[str, dict[str, int]] = {}
    for old, new in pairs.values():
        for name in differences(old, new):
            text = _arrow(_whole(_at(old, name)), _whole(_at(new, name)))
            texts = found.setdefault(name, {})
            texts[text] = texts.get(text, 0) + 1
    return {name: _over_points(texts, len(pairs)) for name, texts in found.items()}


def _over_points(texts: Mapping[str, int], points: int) -> str:
    if texts.keys() and set(texts.values()) == {points}:
        return next(iter(texts))
    first = max(texts, key=lambda text: texts[text])
    more = f", differently in {sum(texts.values()) - texts[first]} more" if len(texts) > 1 else ""
    return f"{first} in {texts[first]} of {points} points{more}"


def _at(parts: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any value of a recipe
    """The value at a dotted name; parts of names may have dots themselves."""
    value: Any = parts
    rest = name
    while rest:
        if not isinstance(value, dict):
            return None
        key = next(
            (
                one
                for one in sorted(value, key=len, reverse=True)
                if rest == one or rest.startswith(f"{one}.")
            ),
            None,
        )
        if key is None:
            return None
        value, rest = value[key], rest[len(key) + 1 :]
    return value


def _arrow(before: str, after: str) -> str:
    """Both, of long ones what has room; where that is the same of both, from shortly before they part."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    skip = same - AHEAD if same >= LONGEST - 1 else 0
    return f"{_cut(before, skip)} → {_cut(after, skip)}"


def _cut(text: str, skip: int) -> str:
    text = f"…{text[skip:]}" if skip else text
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _whole(value: Any) -> str:  # noqa: ANN401 - any value of a recipe
    if value in (None, "", {}, []):
        return UNSET
    text = str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    return text[:7] if len(text) == _HASH and set(text) <= set("0123456789abcdef") else text
