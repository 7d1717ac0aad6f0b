"""What the node tells while it works: one JSON object a line, for a launcher to show or to store."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

EventKind = Literal[
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

    kind: EventKind
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


LONGEST = 10_000
"""Letters of a line that is no event."""
LONGEST_EVENT = 100_000
"""Letters of one that is; none of ours has a tenth of it."""
_REQUIRED = {
    "job": ("name", "total"),
    "run": ("name",),
    "phase": ("name",),
    "done": ("name", "seconds"),
    "point": ("name",),
}

if TYPE_CHECKING:
    Emit = Callable[[Event], None]


def to_stdout(event: Event) -> None:
    """Write an event as a line; a reader that is gone, or a full disk, is no reason to stop measuring."""
    try:
        sys.stdout.write(json.dumps({"at_s": round(time.monotonic(), 6), **event}) + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass


def from_line(line: str) -> Event:
    """Read a line back; anything else that a node prints becomes a note.

    A container may print what it likes: an event that does not have the shape that its readers rely on is a note too.
    """
    try:
        event = json.loads(line) if len(line) <= LONGEST_EVENT else None
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict) and _fits(event):
        return event  # type: ignore[return-value]  # it was checked
    return {"kind": "note", "text": line.rstrip()[:LONGEST]}


def _fits(event: dict[str, Any]) -> bool:
    kind, name, facts = event.get("kind"), event.get("name", ""), event.get("facts", {})
    if not isinstance(kind, str) or kind not in get_args(EventKind) or not isinstance(facts, dict):
        return False
    if not all(isinstance(event.get(key, ""), str) for key in ("name", "text", "token")):
        return False
    if not all(_is_number(event.get(key, 0)) for key in ("at_s", "done", "total", "seconds")):
        return False
    if not all(key in event for key in _REQUIRED.get(kind, ())) or ("total" in event) != ("done" in event):
        return False
    if kind != "point":
        return "\n" not in name
    figures = facts.get("figures", {})
    failed = facts.get("failed", [])
    return (
        re.fullmatch(r"[\w.+-]+/[\w.+-]+", name) is not None
        and isinstance(figures, dict)
        and all(map(_is_number, figures.values()))
        and isinstance(failed, list)
        and all(isinstance(one, str) for one in failed)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def as_notes(emit: Emit) -> Emit:
    """A canary's points are not results: what they say becomes notes."""

    def pass_on(event: Event) -> None:
        if event["kind"] != "point":
            emit(event)
        elif not event.get("facts", {}).get("begins"):
            failed = "; ".join(event.get("facts", {}).get("failed", []))
            emit({"kind": "note", "text": f"canary: {event['name']} {event['text']} {failed}".rstrip()})

    return pass_on
