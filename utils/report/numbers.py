"""Numbers of a page: three significant figures, with a thin space between thousands."""

from __future__ import annotations

from matrix import metrics


def three(value: float) -> str:
    """A number as `matrix.metrics.three` says it, which is what text has: 4\u202f410, 44.1, 4.41, 0.0441."""
    whole, point, rest = metrics.three(value).partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(whole):,}".replace(",", "\u202f") + point + rest if whole else sign
