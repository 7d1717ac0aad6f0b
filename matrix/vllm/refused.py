"""Flags and variables that vLLM takes and that a measurement cannot bear, as rows of refused.json.

An error blinds a gate, starts a part of something, or measures what the recipe does not say. A note costs time or means
little. Flags that the recipe or the harness sets by itself are not among them: see `matrix.recipe`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from matrix.schema import Strict
from matrix.vllm.vocabulary import is_known

FILE = Path(__file__).resolve().parent / "refused.json"


class When(Strict):
    """Which values a row is about; all, where nothing is said."""

    one_of: list[bool | str] = Field([], alias="in")
    """One of these."""
    above: float | None = None
    """A greater number."""
    part: dict[str, list[str]] = {}
    """A part of a mapping that is one of these; an empty list means any that is set."""

    def holds(self, value: object) -> bool:
        """Whether a recipe's value is meant; text is compared without regard to case."""
        if self.one_of:
            return value in self.one_of or str(value).lower() in {str(one).lower() for one in self.one_of}
        if self.above is not None:
            return _number(value) > self.above
        if self.part:
            given = _mapping(value)
            return any(
                given.get(name) in values if values else bool(given.get(name))
                for name, values in self.part.items()
            )
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
    """The row about a flag and its value; a part given by its dotted name is looked at alike, and so is a short form.

    vLLM takes every beginning of a flag's name that no other flag has. With a version that is known such a one is refused
    by itself; with any other what it is short for must not blind a gate.
    """
    whole, _, part = name.partition(".")
    if not is_known("flags", whole) and len(meant := _begun(whole)) == 1:
        whole = meant[0]
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


@cache
def _begun(beginning: str) -> list[str]:
    """Flags of an error that begin so."""
    return [
        row.name
        for row in rows()
        if (row.kind, row.grade) == ("flag", "error") and row.name.startswith(beginning)
    ]


def _mapping(value: object) -> dict[str, Any]:
    """A flag's parts, also where they are JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
