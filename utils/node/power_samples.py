"""The file that the host's meter writes while a job runs: read from where the load began, waited for until it reaches over the load's end."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.node.host.meter_tools import COLUMNS, HOST, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

BEFORE_BYTES = 65_536
"""Read before the load's first byte: some minutes of samples, of which one must lie before the first request."""
WAIT_S = 8.0
"""For a sample past the load's end; tools keep back what they say for a moment."""
HEAD_BYTES = 4096
BELIEVED = {"clock_mhz": 20_000, "memory_clock_mhz": 20_000, "memory_bytes": 1 << 43, "temperature_c": 200}
"""At most; what a tool fills a figure up with that it lacks (65535, 4294967295) is unknown. Watts and use have reasons of their own."""
OTHERS = re.compile(r"# others (\d+\.\d+) (\S.*)")
"""What utils/node/host/others.py writes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one device drew and did at one moment; None is unknown."""

    at_s: float
    """Monotonic clock of the node."""
    device: str
    watts: float | None = None
    utilisation: float | None = None
    """0 to 1."""
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    memory_bytes: float | None = None
    temperature_c: float | None = None
    throttle: tuple[str, ...] | None = ()
    """Reasons for lower clocks, none of them empty."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Of a job; `path` is what the meter writes."""

    path: Path

    def mark(self) -> int:
        """Where to read from later: call it before a load."""
        try:
            return max(0, self.path.stat().st_size - BEFORE_BYTES)
        except OSError:
            return 0

    def about(self) -> tuple[str, list[str]]:
        """What measures here, and what it had to say of itself."""
        try:
            with self.path.open("rb") as file:
                head = file.read(HEAD_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return "none", []
        return about(head)

    def until(self, mark: int, end_s: float, limit_s: float = WAIT_S) -> list[Sample]:
        """All samples from a mark on, once each device has one at or after `end_s`, or the wait is over.

        It must have watts, if it ever has: a tool says N/A or nought at times, and a card's other partitions never say more.
        """
        give_up = time.monotonic() + limit_s
        while True:
            found = self._read(mark)
            last = {one.device: one.at_s for one in found} | {
                one.device: one.at_s for one in found if one.watts
            }
            if (last and min(last.values()) >= end_s) or time.monotonic() > give_up:
                return found
            time.sleep(0.2)

    def others(self, mark: int, start_s: float, end_s: float) -> list[str]:
        """Processes of others that the meter saw on the devices between two moments, each once, as `PID name`."""
        return others(self._lines(mark), start_s, end_s)

    def _read(self, mark: int) -> list[Sample]:
        return [one for line in self._lines(mark) if (one := parse(line))]

    def _lines(self, mark: int) -> list[str]:
        try:
            with self.path.open("rb") as file:
                file.seek(mark)
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        # the first may be cut by the mark, the last is being written
        return text.split("\n")[1 if mark else 0 : -1]


def about(head: Sequence[str]) -> tuple[str, list[str]]:
    """From the file's first lines: what measures, and what it had to say of itself."""
    remarks = [line.removeprefix("# ") for line in head if line.startswith("# ")]
    meter = next((text.removeprefix("meter ") for text in remarks if text.startswith("meter ")), "none")
    return meter, [text for text in remarks if not text.startswith(("meter ", "others "))]


def others(lines: Iterable[str], start_s: float, end_s: float) -> list[str]:
    """From lines of the file: processes of others between two moments, each once, as `PID name`."""
    matches = (OTHERS.fullmatch(line) for line in lines)
    return list(dict.fromkeys(m[2] for m in matches if m and start_s <= float(m[1]) <= end_s))


def parse(line: str) -> Sample | None:
    """One line of the file; None for a heading, a remark, or what is no sample."""
    cells = line.split(",")
    if len(cells) != len(COLUMNS) or cells[0] == COLUMNS[0]:
        return None
    try:
        at_s, *figures = (float(cell) if cell else math.nan for cell in (cells[0], *cells[2:-1]))
    except ValueError:
        return None
    if not math.isfinite(at_s) or not (cells[1].isdigit() or cells[1] == HOST):
        return None
    known = {
        name: value
        if math.isfinite(value) and (name not in BELIEVED or 0 <= value <= BELIEVED[name])
        else None
        for name, value in zip(COLUMNS[2:-1], figures, strict=True)
    }
    return Sample(
        at_s=at_s,
        device=cells[1],
        watts=known["watts"],
        utilisation=known["utilisation"],
        clock_mhz=known["clock_mhz"],
        memory_clock_mhz=known["memory_clock_mhz"],
        memory_bytes=known["memory_bytes"],
        temperature_c=known["temperature_c"],
        throttle=None if cells[-1] == UNKNOWN else tuple(filter(None, cells[-1].split("+"))),
    )
