"""How a change is judged, as a recipe says it; a sweep takes it from the base revision, so that no change judges itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from matrix.metrics import JUDGED, METRICS
from matrix.schema import Strict

FLOORS = {name: METRICS[name].floor for name in JUDGED}


def _judged(name: str) -> str:
    if name not in JUDGED:
        raise ValueError(f"{name!r} is not judged; there are: {', '.join(JUDGED)}")
    return name


def _once_each(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a metric is named twice; name each once")
    return names


def _with_defaults(given: dict[str, float]) -> dict[str, float]:
    return FLOORS | given


Judged = Annotated[str, AfterValidator(_judged), WithJsonSchema({"type": "string", "enum": list(JUDGED)})]
"""Name of a metric that is judged."""
Percent = Annotated[float, Field(ge=0, le=100)]
_FLOORS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {"type": "number", "minimum": 0, "maximum": 100, "default": floor}
        for name, floor in FLOORS.items()
    },
}


class Rules(Strict):
    """How changes to a recipe's points are judged."""

    runs: Literal[2, 4] = 2
    """Fresh servers of each arm; two or four, because three are not balanced against drift."""
    floors: Annotated[
        dict[Judged, Percent], AfterValidator(_with_defaults), WithJsonSchema(_FLOORS_SCHEMA)
    ] = Field({}, validate_default=True)
    """The smallest effects that matter."""
    metrics: Annotated[list[Judged], Field(min_length=1), AfterValidator(_once_each)] = list(JUDGED)
    """What is judged; the others are shown."""
