"""Which points are on the frontier of throughput and a user's speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.report.grouped import Figure


def best(points: Sequence[Mapping[str, Figure]], across: str, along: str) -> list[bool]:
    """Of each point, whether no other one beats it beyond its interval: is better on both axes, whatever the runs of both left open.

    Args:
        points: figures by name; more is better on both axes.
        across: name of one axis.
        along: name of the other.
    """
    return [
        not any(_beats(other, one, across, along) for other in points if other is not one) for one in points
    ]


def _beats(one: Mapping[str, Figure], other: Mapping[str, Figure], *axes: str) -> bool:
    """Not worse anywhere within the intervals, and better somewhere: of single runs the plain rule."""
    clear = all(one[axis].low >= other[axis].high for axis in axes)
    return clear and any(one[axis].low > other[axis].high for axis in axes)
