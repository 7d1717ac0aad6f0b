"""Small languages of a recipe: concurrency ranges and conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Concurrency = int | str | list[int]
LARGEST = 1_000_000

_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
_CONDITION = re.compile(r"(>=|<=|>|<|==)?\s*([0-9]{1,9})")


def concurrencies(value: Concurrency) -> list[int]:
    """The concurrencies that a value names, as written.

    >>> concurrencies("1..100")
    [1, 2, 4, 8, 16, 32, 64, 100]
    """
    if isinstance(value, int):
        found = [value]
    elif isinstance(value, list):
        found = value
        if not found:
            raise ValueError("the list is empty; name at least one concurrency")
        if len(set(found)) < len(found):
            raise ValueError(f"{found} names a concurrency twice")
    else:
        found = _doubling(value)
    if min(found) < 1 or max(found) > LARGEST:
        raise ValueError(f"a concurrency must lie in 1 to {LARGEST:,}")
    return found


def _doubling(text: str) -> list[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a range; write 1..64, a number, or a list such as [1, 8, 64]")
    start, end = map(int, match.groups())
    if start < 1:
        raise ValueError(f"the range {text} starts at {start}; doubling wants 1 or more")
    if end < start:
        raise ValueError(f"the range {text} runs backward; write {end}..{start}")
    found = []
    while start < min(end, LARGEST + 1):
        found.append(start)
        start *= 2
    return [*found, end]


def condition(value: int | str) -> tuple[int, int]:
    """The inclusive bounds that a condition means.

    >>> condition(">=16")[0]
    16
    """
    if isinstance(value, int):
        return value, value
    if match := _RANGE.fullmatch(value):
        low, high = map(int, match.groups())
        if high < low:
            raise ValueError(f"the range {value} runs backward; write {high}..{low}")
        return low, high
    match = _CONDITION.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is not a condition; write 8, ">=8", "<8" or "2..8"')
    number = int(match[2])
    most = 10**18
    bounds = {">=": (number, most), ">": (number + 1, most), "<=": (0, number), "<": (0, number - 1)}
    return bounds.get(match[1] or "", (number, number))


Bounds = dict[str, tuple[int, int]]
"""The least and the most of each fact that a condition names."""


def bounds(conditions: Mapping[str, int | str]) -> Bounds:
    """Conditions by the name of what they are about, read once for all points."""
    return {name: condition(wanted) for name, wanted in conditions.items()}


def holds(wanted: Bounds, facts: Mapping[str, int]) -> bool:
    """Whether a point with these facts meets all of them."""
    return all(low <= facts[name] <= high for name, (low, high) in wanted.items())
