"""A figure of an entry and its change to the base: read from a cell of the file, rounded, written."""

from __future__ import annotations

import re

_CELL = re.compile(r"([0-9.]+(?:e[-+]?[0-9]+)?)(?: +([-+][0-9]+(?:\.[0-9]+)?%))?")


def figure(text: object) -> tuple[float, str] | None:
    """A cell such as `1264.5` or `2043 -9.1%`: its value, and the change to the base or an empty text."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text), ""
    match = _CELL.fullmatch(text) if isinstance(text, str) else None
    return (float(match[1]), match[2] or "") if match else None


def rounded(value: float) -> float:
    """A figure as it is kept: four significant figures at least, because steps are found in it (docs/changelog.md), and what is before the point whole."""
    return round(value) if value >= 1000 else float(f"{value:.4g}")  # noqa: PLR2004 - four digits


def number(value: float) -> str:
    """Without an exponent, as short as it can be read back."""
    text = repr(float(value))
    return text.removesuffix(".0") if "e" not in text else f"{value:.12f}".rstrip("0")
