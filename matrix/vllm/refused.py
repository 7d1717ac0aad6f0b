"""Flags and variables that vLLM takes and that a measurement cannot bear, as rows of refused.json.

An error blinds a gate, starts a part of something, or measures what the recipe does not say. A note costs time or means
little. Flags that the recipe or the harness sets by itself are not among them: see `matrix.recipe`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from matrix.schema import Strict

FILE = Path(__file__).resolve().parent / "refused.json"


class When(Strict):
    """Which values a row is about; all, where nothing is said."""

    one_of: list[bool | str] = Field([], alias="in")
    """One of these."""
    above: float | None = None
    """A greater number."""
    part: dict[str, list[str]] = {}
    """A part of a mapping that is one of these."""

    def holds(self, value: object) -> bool:
        """Whether a recipe's value is meant; text is compared without regard to case."""
        if self.one_of:
            return value in self.one_of or str(value).lower() in {str(one).lower() for one in self.one_of}
        if self.above is not None:
            return _number(value) > self.above
        if self.part:
            given = value if isinstance(value, dict) else {}
            return any(given.get(name) in values for name, values in self.part.items())
        return value is not False and value is not None


class Refused(Strict):
    """A row."""

    kind: Literal["flag", "env"]
    name: str
    when: When
    grade: Literal["error", "note"]
    why: str
    """What would be wrong with the figures."""
    instead: str
    """What to do."""

    def __str__(self) -> str:
        return f"{self.name}: {self.why}; {self.instead}"


def of_flag(name: str, value: object) -> Refused | None:
    """The row about a flag and its value; a part given by its dotted name is looked at alike."""
    whole, _, part = name.partition(".")
    for step in reversed(part.split(".") if part else []):
        value = {step: value}
    return _found("flag", whole, value)


def of_variable(name: str, value: str) -> Refused | None:
    """The row about a variable and its value."""
    return _found("env", name, value)


@cache
def rows() -> tuple[Refused, ...]:
    """All of them."""
    return tuple(TypeAdapter(list[Refused]).validate_json(FILE.read_bytes()))


def _found(kind: str, name: str, value: object) -> Refused | None:
    here = (row for row in rows() if (row.kind, row.name) == (kind, name))
    return next((row for row in here if row.when.holds(value)), None)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
