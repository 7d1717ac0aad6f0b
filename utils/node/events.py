"""What the node tells while it works: one JSON object a line, for a launcher to show or to store."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal[
    "job",
    "run",
    "phase",
    "progress",
    "done",
    "point",
    "note",
    "error",
    "end",
    "begin",
    "payload",
    "srun",
    "check",
]


class Event(TypedDict, total=False):
    """One thing that happened; `kind` and `at_s` are always there."""

    kind: Kind
    at_s: float
    """Seconds of the node's monotonic clock."""
    name: str
    """Of a run, a phase or a point."""
    text: str
    done: int
    total: int
    seconds: float
    facts: dict[str, Any]
    token: str
    """Marks what a batch script says outside of the container."""


if TYPE_CHECKING:
    Emit = Callable[[Event], None]


def to_stdout(event: Event) -> None:
    """Write an event as a line; a reader that is gone is no reason to stop measuring."""
    try:
        sys.stdout.write(json.dumps({"at_s": round(time.monotonic(), 6), **event}) + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        pass


def from_line(line: str) -> Event:
    """Read a line back; anything else that a node prints becomes a note."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and "kind" in event:
        return event  # type: ignore[return-value]  # the node is our own code
    return {"kind": "note", "text": line.rstrip()}
