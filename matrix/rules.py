"""How a change is judged, as a recipe says it; a sweep takes it from the base revision, so that no change judges itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from matrix.schema import Strict

Judged = Literal["tput", "ttft", "tpot"]
JUDGED: tuple[Judged, ...] = ("tput", "ttft", "tpot")
"""Throughput and median TPOT of the steady window, and median TTFT."""


def _once_each(names: list[Judged]) -> list[Judged]:
    if len(set(names)) < len(names):
        raise ValueError("a metric is named twice; name each once")
    return names


class Floors(Strict):
    """The smallest effects that matter in practice, in percent; below them nothing is called a change."""

    tput: float = Field(1.0, ge=0, le=100)
    """Of throughput."""
    ttft: float = Field(3.0, ge=0, le=100)
    """Of the median time to first token."""
    tpot: float = Field(1.5, ge=0, le=100)
    """Of the median time per output token."""


class Rules(Strict):
    """How changes to a recipe's points are judged."""

    runs: Literal[2, 4] = 2
    """Fresh servers of each arm; two or four, because three are not balanced against drift."""
    floors: Floors = Floors()
    """The smallest effects that matter."""
    metrics: Annotated[list[Judged], Field(min_length=1), AfterValidator(_once_each)] = list(JUDGED)
    """What is judged; the others are shown."""
