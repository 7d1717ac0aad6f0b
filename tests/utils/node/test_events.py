"""Lines that a node prints, read back: an event has the shape that its readers rely on, or it is a note."""

from __future__ import annotations

import io
import json

import pytest

from utils.node import events
from utils.show.log import Actions, Plain

FORGED = (
    '{"kind": []}',
    '{"kind": "done"}',
    '{"kind": "nosuch"}',
    '{"kind": "point", "name": "x"}',
    '{"kind": "point", "name": "a/b\\n::error::x"}',
    '{"kind": "point", "name": "a/b", "facts": {"figures": 1}}',
    '{"kind": "point", "name": "a/b", "facts": {"failed": 7}}',
    '{"kind": "point", "name": "a/b", "facts": {"figures": {"tput": "1"}}}',
    '{"kind": "note", "text": 5}',
    '{"kind": "run", "name": "x\\ny"}',
    '{"kind": "phase"}',
    '{"kind": "progress", "total": 5}',
    '{"kind": "progress", "seconds": "x"}',
    '{"kind": "end", "facts": []}',
    "[" * 100_000,
    "[]",
    "null",
    "text",
)


@pytest.mark.parametrize("line", FORGED, ids=range(len(FORGED)))
def test_what_has_not_the_shape_of_an_event_is_a_note(line: str) -> None:
    """A container prints what it likes; no line of it may end the launcher."""
    event = events.from_line(line)
    assert event["kind"] == "note"
    Plain(io.StringIO()).event(event)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "run", "name": "run 1/2 head", "text": "r.tp1.0123"},
        {"kind": "phase", "name": "load", "text": "10 requests"},
        {"kind": "progress", "done": 1, "total": 2},
        {"kind": "progress", "seconds": 1.5},
        {"kind": "done", "name": "load", "seconds": 1.5},
        {"kind": "point", "name": "r/8k1k-tp8-c1", "facts": {"begins": True}},
        {"kind": "point", "name": "r/p", "text": "measured", "facts": {"failed": [], "figures": {"tput": 1, "news": 2}}},
        {"kind": "end", "facts": {"exit": 0}},
    ],
)  # fmt: skip
def test_events_of_the_node_program_come_through(event: events.Event) -> None:
    """And a log can show each."""
    assert events.from_line(json.dumps(event)) == event
    Plain(io.StringIO()).event(event)


def test_no_text_becomes_a_command_of_actions() -> None:
    """Its runner looks for `::` at the beginning of a line, after blanks."""
    stream = io.StringIO()
    log = Actions(stream)
    text = "x\n::stop-commands::t\n  ::error::y\r::error::z"
    log.event({"kind": "note", "text": text})
    log.event({"kind": "point", "name": "r/p", "text": text, "facts": {"failed": [text]}})
    log.event({"kind": "error", "text": text})
    log.event({"kind": "phase", "name": "p", "text": text})
    log.event({"kind": "done", "name": "p", "seconds": 1.0})
    begins = [line.lstrip() for line in stream.getvalue().splitlines()]
    assert [line.split("title")[0] for line in begins if line.startswith("::")] == ["::error "]
