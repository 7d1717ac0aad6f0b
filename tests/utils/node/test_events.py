"""Lines that a node prints, read back: an event has the shape that its readers rely on, or it is a note."""

from __future__ import annotations

import io
import json
import time

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
    '{"kind": "job", "name": "x"}',
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


@pytest.mark.parametrize("kind", ["note", "error", "phase", "point"])
def test_an_event_has_no_more_letters_than_a_person_reads(kind: str) -> None:
    """A guest's line of 50 MB was looked through for minutes, while its launcher held the cluster."""
    letters = "x" * 5_000_000
    event = events.from_line(
        json.dumps({"kind": kind, "name": "a/b", "text": letters, "facts": {"failed": [letters]}})
    )
    stream = io.StringIO()
    begin = time.process_time()
    Plain(stream).event(event)
    assert time.process_time() - begin < 1
    assert len(stream.getvalue()) < 2 * events.LONGEST


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
