"""A trace in memory: what ran on devices, what launched it, and what annotations say; all else is counted and passed over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from utils.profile.columns import NO_LAUNCH, Calls, Growing, Table
from utils.profile.events import Reader
from utils.profile.source import choose, pieces, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from utils.profile.events import Event
    from utils.profile.source import Chosen

MOST_EVENTS = 10_000_000
MOST_NAMES_BYTES = 64 << 20
MOST_LANES = 100_000
"""Streams and threads: a server has hundreds, and each piece of a cut graph some."""
DEVICE, LAUNCH, HOST, NOTE, NOTE_ON_DEVICE = range(5)
KINDS = {
    **dict.fromkeys(("kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset", "concurrent_kernel"), DEVICE),
    **dict.fromkeys(
        ("cuda_runtime", "cuda_driver", "hip_runtime", "xpu_runtime", "runtime", "driver"), LAUNCH
    ),
    **dict.fromkeys(("cpu_op", "operator"), HOST),
    "user_annotation": NOTE,
    "gpu_user_annotation": NOTE_ON_DEVICE,
}
"""Category, in small letters -> what it is here. Flows (ac2g) tell no more than correlations do."""
_ON_DEVICE = (DEVICE, NOTE_ON_DEVICE)
_OPEN, _CLOSE = "B", "E"
_FAR = 1e17
"""Microseconds: three thousand years."""


@dataclass
class Trace:
    """What a profile is made of."""

    path: Path
    meta: dict[str, Any]
    names: list[str]
    lanes: list[tuple[str, str]]
    """Device and stream, or process and thread, by number."""
    device: Table
    launches: Calls
    """Until each piece of work has its own."""
    host: Table
    """Only of a trace without any device: operators, and annotations, whose names are numbered ~0, ~1, …."""
    notes: Table
    """Annotations on the host's side."""
    device_notes: Table
    events: int
    megabytes: float
    remarks: list[str] = field(default_factory=list)
    """What a reader should know of how it was read."""

    @property
    def on_host(self) -> bool:
        """Whether nothing ran on a device, so that the operators are what is counted."""
        return not len(self.device)

    @property
    def rank(self) -> int | None:
        """Of the process that wrote it."""
        found = self.meta.get("distributedInfo")
        rank = found.get("rank") if isinstance(found, dict) else None
        return rank if isinstance(rank, int) else None


@dataclass
class Bounds:
    """How much is read, and held."""

    gigabytes: float
    events: int = MOST_EVENTS


class _Collector:
    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.path, self.bounds = path, bounds
        self.tables = [Growing() for _ in range(5)]
        self.names: dict[str, int] = {}
        self.lanes: dict[tuple[str, str], int] = {}
        self.lane_of: dict[tuple[int | str | None, int | str | None], int] = {}
        """The same by what events say, be it a number or its text."""
        self.on_device = False
        self.left_out: Counter[str] = Counter()
        self.open: dict[tuple[str, str], list[Event]] = {}
        self.first = self.last = 0.0
        self.seen = self.name_bytes = self.unsorted = 0

    def take(self, batch: list[Event]) -> None:
        """Keep what matters of some events."""
        kinds, last = KINDS, self.last
        for one in batch:
            kind = kinds.get(one.cat)
            if kind is None:
                kind = kinds.get(one.cat.lower())
                if kind is None and one.ph != _CLOSE:  # an end need not repeat what its begin said
                    continue
            if one.ph != "X":
                self._half(one, kind)
                continue
            start, duration = one.ts, one.dur
            if start is None or duration is None or kind is None:
                self.left_out["without a time or a duration"] += 1
                continue
            if not (0 <= duration < _FAR and -_FAR < start < _FAR):  # so that NaN is out, too
                self.left_out["with a negative duration" if duration < 0 else "at a time that cannot be"] += 1
                continue
            if start < last:
                self.unsorted += 1
            last = start
            self._keep(one, kind, start, duration)
        self.last = last

    def _keep(self, one: Event, kind: int, start: float, duration: float) -> None:
        """Hold an event; this is where the time of a large trace goes, so that it is one function without calls."""
        if kind == HOST and self.on_device:
            return  # operators matter only where nothing else does
        if not self.seen:
            self.first = start
        self.seen += 1
        if (name := self.names.get(one.name)) is None:
            name = self._new_name(one.name)
        args, key = one.args, (one.pid, one.tid)
        if args is not None and kind in _ON_DEVICE:
            key = (
                args.device if args.device is not None else one.pid,
                args.stream if args.stream is not None else one.tid,
            )
        if (lane := self.lane_of.get(key)) is None:
            said = (str(key[0]), str(key[1]))
            lane = self.lane_of[key] = self.lanes.setdefault(said, len(self.lanes))
        table, begin = self.tables[kind], start - self.first
        if kind == LAUNCH:
            if args is not None and args.correlation and args.correlation != NO_LAUNCH:
                table.start.append(begin)
                table.name.append(name)
                table.correlation.append(args.correlation)
            return
        table.start.append(begin)
        table.end.append(begin + duration)
        table.name.append(name)
        table.lane.append(lane)
        if kind == DEVICE:
            table.correlation.append((args.correlation if args is not None else None) or NO_LAUNCH)
            if not self.on_device:
                self.on_device = True
                self.tables[HOST].clear()
        elif kind == NOTE and not self.on_device:
            self.tables[HOST].add(begin, begin + duration, ~name, lane)

    def _new_name(self, name: str) -> int:
        self.name_bytes += len(name)
        if self.name_bytes > MOST_NAMES_BYTES:
            raise unreadable(
                self.path,
                f"its events have {len(self.names):,} different names of {self.name_bytes >> 20} MB in all, more than a server's trace has; give a trace that torch's profiler wrote",
            )
        return self.names.setdefault(name, len(self.names))

    def _half(self, one: Event, kind: int | None) -> None:
        """A begin waits for its end, on the same thread."""
        key = (str(one.pid), str(one.tid))
        if one.ph == _OPEN:
            self.open.setdefault(key, []).append(one)
        elif one.ph == _CLOSE and self.open.get(key):
            begun = self.open[key].pop()
            kind = KINDS.get(begun.cat.lower())
            if begun.ts is not None and one.ts is not None and kind is not None and one.ts >= begun.ts:
                self._keep(begun, kind, begun.ts, one.ts - begun.ts)
            else:
                self.left_out["without a time or a duration"] += 1

    def check(self) -> None:
        """Stop before memory runs out.

        Raises:
            HarnessError: more than the bound.
        """
        if len(self.lanes) > MOST_LANES:
            raise unreadable(
                self.path,
                f"has more than {MOST_LANES:,} streams and threads, more than a server's trace has; give a trace that torch's profiler wrote",
            )
        held = sum(map(len, self.tables)) + sum(map(len, self.open.values()))
        if held > self.bounds.events or len(self.open) > MOST_LANES:
            raise unreadable(
                self.path,
                f"holds more than {held:,} events that count; the bound is {self.bounds.events:,}, about 40 bytes of memory each. "
                "Record fewer steps, or raise it: --max-events N",
            )

    def remarks(self, reader: Reader) -> list[str]:
        """What was odd."""
        begun = sum(map(len, self.open.values()))
        odd = self.left_out + Counter(
            {"that begin and never end": begun, "whose fields are of another kind": reader.odd}
        )
        found = [f"left out: {count:,} events {why}" for why, count in odd.items() if count]
        if self.unsorted:
            found.append(
                f"events were not in order of time ({self.unsorted:,} places), as torch writes them; sorted here"
            )
        return found


def read(path: Path, *, rank: int | None = None, bounds: Bounds) -> Trace:
    """Read a trace, or the one that a folder means.

    Raises:
        HarnessError: it is missing, broken, beyond a bound, or holds nothing to make a profile of.
    """
    chosen = choose(path, rank)
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces(chosen.path, bounds.gigabytes):
            size += len(piece)
            yield piece

    reader = Reader(chosen.path, counted())
    collector = _Collector(chosen.path, bounds)
    for batch in reader.batches():
        collector.take(batch)
        collector.check()
    return _made(collector, reader, chosen, size / 1e6)


def _made(collector: _Collector, reader: Reader, chosen: Chosen, megabytes: float) -> Trace:
    tables = collector.tables
    if not tables[DEVICE] and len(tables[HOST]) == len(tables[NOTE]):
        odd = "".join(f"; {remark}" for remark in collector.remarks(reader))
        raise unreadable(
            chosen.path,
            f"{reader.events:,} events{odd}, and none is a kernel, a copy or an operator; was the profiler started with an activity (CPU, CUDA), "
            "and did anything run while it was on?",
        )
    begin = min(min(one.start) for one in tables if one)
    launches = Calls.of(tables[LAUNCH], begin)
    device, host, notes, device_notes = (
        Table.of(tables[kind], begin) for kind in (DEVICE, HOST, NOTE, NOTE_ON_DEVICE)
    )
    remarks = ([chosen.note] if chosen.note else []) + collector.remarks(reader)
    return Trace(
        chosen.path,
        reader.meta,
        list(collector.names),
        list(collector.lanes),
        *(device, launches, host, notes, device_notes),
        events=reader.events,
        megabytes=megabytes,
        remarks=remarks,
    )
