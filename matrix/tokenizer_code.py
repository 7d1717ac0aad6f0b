"""Whether the load client, to have its server's tokenizer, would run code that a change brought. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.tree import is_carried
from matrix.vllm.model_variables import is_of_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.plan import Job, Point

_WORDS = ("tokenizer", "revision", "hf-", "config")
"""Of flags that say which files of a model are loaded."""


def brings_code(job: Job) -> bool:
    """Whether an arm loads code with its model that the base does not load from the same place: such code stays beside its server.

    Without a base nothing tells whose code it is, and what a tree carries is the change's own.
    """
    base = {_loaded(point) for point in job.base.points} if job.base else set()
    return any(is_carried(point.model) or _loaded(point) not in base for point in _asking(job.points))


def _asking(points: Sequence[Point]) -> list[Point]:
    """Points whose tokenizer may run code that comes with the model."""
    return [point for point in points if point.parts.get("flags", {}).get("trust-remote-code") is True]


def _loaded(point: Point) -> tuple[object, ...]:
    """What says which files of a model are loaded."""
    env = sorted((name, str(text)) for name, text in point.parts.get("env", {}).items() if is_of_models(name))
    flags = sorted(
        (name, str(text))
        for name, text in point.parts.get("flags", {}).items()
        if any(word in name for word in _WORDS)
    )
    return point.model, point.revision or "", *env, *flags
