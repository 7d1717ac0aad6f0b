"""Numbers for people: three significant figures, with a unit."""

from __future__ import annotations

import math

SIGNIFICANT = 3


def three(value: float) -> str:
    """A number with three significant figures and no exponent: 4410, 44.1, 4.41, 0.0441."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    places = SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    places = SIGNIFICANT - 1 - math.floor(math.log10(abs(rounded)))  # 9.996 is 10.0
    return f"{rounded:,.{max(0, places)}f}".replace(",", "\u202f")
