"""Whether a record says the same as what was made anew: equal, but for the rounding of other processors and libraries."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""Of figures: sums in another order differ in the last of 16 digits, and 1e-6 is a thousandth of the smallest floor."""
IN_TEXT = 2e-3
"""Of figures in a sentence, which are rounded."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
LONGEST = 80
"""Letters of a value in words."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a record that says something else."""

    field: str
    """Dotted."""
    said: str
    found: str

    def __str__(self) -> str:
        return f"{self.field} says {self.said}, and is {self.found}"


def differences(said: Mapping[str, Any], found: Mapping[str, Any]) -> list[Difference]:
    """Every field of `found` that `said` has otherwise, each at its deepest place.

    Args:
        said: a record as plain values.
        found: the fields that were made anew, as plain values.
    """
    return [one for name in found for one in _walk(name, said.get(name), found[name])]


def _walk(place: str, said: Any, found: Any) -> Iterator[Difference]:  # noqa: ANN401 - plain values
    if isinstance(said, dict) and isinstance(found, dict):
        for name in sorted({*said, *found}, key=str):
            yield from _walk(f"{place}.{name}", said.get(name), found.get(name))
    elif isinstance(said, list | tuple) and isinstance(found, list | tuple):
        for number, (one, other) in enumerate(zip_longest(said, found)):
            yield from _walk(f"{place}.{_named(number, other or one)}", one, other)
    elif not _same(said, found):
        yield Difference(place, _short(said), _short(found))


def _named(number: int, value: object) -> str:
    """A gate by its name; else the place in the list."""
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(number)


def _same(said: object, found: object) -> bool:
    if isinstance(said, bool) or isinstance(found, bool):
        return said is found
    if isinstance(said, int | float) and isinstance(found, int | float):
        exact = isinstance(said, int) and isinstance(found, int)
        return said == found if exact else math.isclose(said, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(said, str) and isinstance(found, str):
        return said == found or _same_sentence(said, found)
    return said == found


def _same_sentence(said: str, found: str) -> bool:
    """Equal but for the last digit of numbers with a point; hashes, counts and names are letters here."""
    if _NUMBER.sub("#", said) != _NUMBER.sub("#", found):
        return False
    return all(
        one == other
        or ("." in one and "." in other and math.isclose(float(one), float(other), rel_tol=IN_TEXT))
        for one, other in zip(_NUMBER.findall(said), _NUMBER.findall(found), strict=True)
    )


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
