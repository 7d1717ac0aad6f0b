"""A trace's events, decoded a megabyte at a time.

A trace is one JSON object whose `traceEvents` may hold gigabytes. Its bytes are cut where one event ends and the next begins,
and what is between two cuts is decoded as an array of its own. A cut that was in a text or inside of an event cannot decode,
for its brackets do not close; then, and at the array's end, brackets are counted one by one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from utils.profile.source import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_EVENT = 16 << 20
"""Bytes of an event, and of what is before or after the events."""
MOST_DEPTH = 100
_TRIES = 64
_OBJECT = re.compile(rb"\A\s*\{")
_ARRAY = re.compile(rb'"traceEvents"\s*:\s*\[')
_BARE = re.compile(rb"\A\s*\[")
_BETWEEN = re.compile(rb"[\s,]*")
_TOKEN = re.compile(rb'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*"|"', re.DOTALL)


class Args(msgspec.Struct, gc=False):
    """What is read of an event's own facts."""

    stream: int | str | None = None
    device: int | str | None = None
    correlation: Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)] | None = None


class Event(msgspec.Struct, gc=False):
    """What is read of an event."""

    ph: str = ""
    cat: str = ""
    name: str = ""
    ts: float | None = None
    dur: float | None = None
    pid: int | str | None = None
    tid: int | str | None = None
    args: Args | None = None


_STRICT = msgspec.json.Decoder(list[Event])
_ONE = msgspec.json.Decoder(Event, strict=False)


@dataclass
class Reader:
    """Gives a file's events, and knows its other fields once all were given."""

    path: Path
    pieces: Iterable[bytes]
    meta: dict[str, Any] = field(default_factory=dict)
    odd: int = 0
    """Events that are no events: left out."""
    taken: int = 0
    """Bytes before the buffer."""
    events: int = 0

    def batches(self) -> Iterator[list[Event]]:
        """All events, in the file's order."""
        source = iter(self.pieces)
        buffer = self._begin(source)
        for piece in source:
            buffer += piece
            found = self._fast(buffer)
            if found is None:
                found, ended = self._slow(buffer, last=False)
            else:
                ended = False
            self.events += len(found)
            yield found
            if ended:
                self._end(buffer, source)
                return
        found, ended = self._slow(buffer, last=True)
        self.events += len(found)
        yield found
        if not ended:
            raise self._broken("ends in the middle of its events; was the server ended while it wrote?")
        self._end(buffer, source)

    def _begin(self, source: Iterator[bytes]) -> bytearray:
        """Read up to the first event."""
        buffer = bytearray()
        for piece in source:
            buffer += piece
            found = self._array(buffer) if _OBJECT.match(buffer) else _BARE.match(buffer)
            if found:
                self._drop(buffer, found.end())
                return buffer
            if bytes(buffer.lstrip()[:1]) not in {b"{", b""}:
                raise self._broken("is not a trace: JSON begins with a brace")
            if len(buffer) > MOST_EVENT:
                break
        raise self._broken(
            "holds no `traceEvents`: it is JSON of another kind, or was cut short before its events"
        )

    def _array(self, buffer: bytearray) -> re.Match[bytes] | None:
        """Where the events begin: with one of that name inside of a text or of another object what is before it does not close."""
        first = None
        for found in islice(_ARRAY.finditer(buffer), _TRIES):
            if self._know(bytes(buffer[: found.end()]) + b"]}"):
                return found
            first = first or found
        return first

    def _fast(self, buffer: bytearray) -> list[Event] | None:
        """Events up to the last place that looks like a border; None if it was none, or nothing decodes."""
        at = len(buffer)
        for _ in range(_TRIES):
            at = buffer.rfind(b"{", 0, at)
            if at <= 0:
                return None
            before = bytes(buffer[max(0, at - _TRIES) : at]).rstrip()
            if before.endswith(b",") and before[:-1].rstrip().endswith(b"}"):
                end = buffer.rfind(b",", 0, at)
                try:
                    found = _STRICT.decode(b"[" + buffer[:end] + b"]")
                except (ValueError, RecursionError):
                    return None
                self._drop(buffer, at)
                return found
        return None

    def _slow(self, buffer: bytearray, *, last: bool) -> tuple[list[Event], bool]:
        """Events one by one, by counting brackets, and whether the array ended."""
        found: list[Event] = []
        at, ended = 0, False
        while True:
            gap = _BETWEEN.match(buffer, at)
            at = gap.end() if gap else at
            if at >= len(buffer):
                break
            if buffer[at : at + 1] == b"]":
                at, ended = at + 1, True
                break
            if buffer[at : at + 1] != b"{":
                raise self._broken("is broken: an event should begin", at)
            end = self._close(buffer, at)
            if end is None:
                if len(buffer) - at > MOST_EVENT:
                    raise self._broken(
                        f"holds an event of more than {MOST_EVENT >> 20} MB, which none is", at
                    )
                break
            if (one := self._one(bytes(buffer[at:end]), at)) is not None:
                found.append(one)
            at = end
        self._drop(buffer, at)
        if last and not ended and buffer:
            raise self._broken("ends in the middle of an event; was the server ended while it wrote?")
        return found, ended

    def _close(self, buffer: bytearray, at: int) -> int | None:
        """Where the event that begins here ends; None if its end is not there yet."""
        depth = 0
        for token in _TOKEN.finditer(buffer, at):
            mark = token[0]
            if mark in {b"{", b"["}:
                depth += 1
                if depth > MOST_DEPTH:
                    raise self._broken(
                        f"nests more than {MOST_DEPTH} deep, which no trace does", token.start()
                    )
            elif mark in {b"}", b"]"}:
                depth -= 1
                if not depth:
                    return token.end()
            elif mark == b'"':
                return None
        return None

    def _one(self, text: bytes, at: int) -> Event | None:
        """An event that may have other types, or what only lenient readers take: NaN, stray bytes."""
        try:
            return _ONE.decode(text)
        except msgspec.ValidationError:
            self.odd += 1
            return None
        except ValueError:
            pass
        try:
            return msgspec.convert(
                json.loads(text.decode(errors="replace"), strict=False), Event, strict=False
            )
        except msgspec.ValidationError:
            self.odd += 1
            return None
        except ValueError as error:
            raise self._broken(f"is broken ({error})", at) from error

    def _end(self, buffer: bytearray, source: Iterator[bytes]) -> None:
        """Read what is after the events, for torch writes some of its facts there."""
        for piece in source:
            if len(buffer) <= MOST_EVENT:
                buffer += piece
        rest = bytes(buffer).strip().removeprefix(b",").strip()
        if rest.endswith(b"}") and len(rest) <= MOST_EVENT:
            self._know(b"{" + rest)

    def _know(self, text: bytes) -> bool:
        """Keep the fields beside the events, and say whether they could be read: they only help, so that broken ones are no reason to stop."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return False
        self.meta |= {name: value for name, value in found.items() if name != "traceEvents"}
        return True

    def _drop(self, buffer: bytearray, size: int) -> None:
        del buffer[:size]
        self.taken += size

    def _broken(self, what: str, at: int = 0) -> Exception:
        return unreadable(self.path, f"{what} (byte {self.taken + at:,}, after {self.events:,} whole events)")
