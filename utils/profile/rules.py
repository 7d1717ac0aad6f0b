"""What names mean: families of kernels and the steps of engines, from the table in rules.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("rules.yaml")
UNKNOWN = "unknown"
_MOST_DIGITS = 18
"""Of a number in an annotation, and letters of a phase's name."""
MIXED, DECODE, PREFILL, UNSAID = "mixed", "decode", "prefill", "phase unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """What an annotation says of its step."""

    engine: str
    phase: str
    requests: int | None = None
    tokens: int | None = None
    """New ones: computed in this step."""


@dataclass(frozen=True)
class Rules:
    """The table, with its patterns compiled."""

    families: tuple[tuple[str, re.Pattern[str]], ...]
    experts: frozenset[str]
    layer_begins: tuple[str, ...]
    steps: tuple[tuple[str, re.Pattern[str]], ...]
    phases: dict[str, str]

    def family(self, name: str) -> str:
        """A kernel's family; `unknown` if no rule finds it."""
        return next((family for family, pattern in self.families if pattern.search(name)), UNKNOWN)

    def step(self, name: str) -> Said | None:
        """What an annotation says, if it is one of a step."""
        for engine, pattern in self.steps:
            if (found := pattern.search(name)) and max(
                map(len, found.groupdict("").values())
            ) <= _MOST_DIGITS:
                return self._said(engine, found.groupdict())
        return None

    def _said(self, engine: str, groups: dict[str, str | None]) -> Said:
        known = {name: int(text) for name, text in groups.items() if name != "phase" and text is not None}
        if phase := groups.get("phase"):
            return Said(
                engine,
                self.phases.get(phase.lower(), phase.lower()),
                known.get("requests"),
                known.get("tokens"),
            )
        context, generation = known["context"], known["generation"]
        phase = MIXED if context and generation else PREFILL if context else DECODE
        tokens = known["context_tokens"] + known["generation_tokens"]
        return Said(engine, phase, context + generation, tokens)


@cache
def shipped() -> Rules:
    """The rules of this version."""
    return of(yaml.safe_load(FILE.read_text()))


def of(table: dict[str, Any]) -> Rules:
    """Rules from what the file holds."""
    return Rules(
        families=tuple(
            (one["family"], re.compile("|".join(f"(?:{_local(pattern)})" for pattern in one["patterns"])))
            for one in table["families"]
        ),
        experts=frozenset(table["experts"]),
        layer_begins=tuple(table["layer_begins"]),
        steps=tuple((one["engine"], re.compile(one["pattern"])) for one in table["steps"]),
        phases=table["phases"],
    )


def _local(pattern: str) -> str:
    """A pattern's (?i) for itself alone, as several are joined."""
    return f"(?i:{pattern.removeprefix('(?i)')})" if pattern.startswith("(?i)") else pattern
