"""What else the machine did over a load: processor time of others on the pinned cores, steal, pressure, waits for memory, load average.

From /proc (proc_stat(5), proc_pressure(5) of Linux): cumulative counters, read before and after. Pure but for `read`.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.node.record import MachineLoad

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TICKS = os.sysconf("SC_CLK_TCK")
FOREIGN_NOTE = 0.05
"""Share of the pinned cores that others used: from here on a note. The limit of a gate is the cluster file's."""
STEAL_NOTE, STEAL_MOST = 0.02, 0.1
"""Share of all cores' time that the hypervisor gave to others."""
MEMORY_NOTE, MEMORY_MOST = 0.01, 0.1
"""Share of the load in which all that was to run waited for memory: a server that has its memory does not, whatever its cores do."""
_IDLE = (3, 4)
"""Fields of a processor's line that are no work: idle and iowait."""
_GUEST = (8, 9)
"""Counted in user and nice already."""
_STEAL = 7


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment; what the kernel does not show is None."""

    at_s: float
    """Monotonic clock."""
    busy_s: Mapping[int, float]
    """Core -> seconds of work, steal not among them."""
    steal_s: float
    """Of all cores."""
    cores: int
    load_1min: float | None
    pressure_s: float | None
    """Seconds in which some process waited for a core."""
    memory_s: float | None = None
    """Seconds in which all that was to run waited for memory: for pages that were taken away, or swapped out."""


def read(proc: Path = Path("/proc")) -> Reading:
    """The machine now."""
    busy, steal = {}, 0.0
    for line in _text(proc / "stat").splitlines():
        if match := re.match(r"cpu(\d+) (.*)", line):
            ticks = [int(field) for field in match[2].split()]
            steal += ticks[_STEAL] / TICKS if len(ticks) > _STEAL else 0.0
            work = sum(ticks[n] for n in range(len(ticks)) if n not in (*_IDLE, *_GUEST, _STEAL))
            busy[int(match[1])] = work / TICKS
    load = _text(proc / "loadavg").split()
    return Reading(
        at_s=time.monotonic(),
        busy_s=busy,
        steal_s=steal,
        cores=len(busy),
        load_1min=float(load[0]) if load else None,
        pressure_s=_stalled_s(proc, "cpu", "some"),
        memory_s=_stalled_s(proc, "memory", "full"),
    )


def _stalled_s(proc: Path, what: str, whose: str) -> float | None:
    """Since the machine began: of `some` process, or of the `full` set of those that were to run."""
    found = re.search(rf"^{whose} .*total=(\d+)", _text(proc / "pressure" / what), re.MULTILINE)
    return int(found[1]) / 1e6 if found else None


def between(before: Reading, after: Reading, ours_s: float, cores: Sequence[int]) -> MachineLoad:
    """What others did between two readings.

    Args:
        before: at the load's start.
        after: at its end.
        ours_s: processor seconds of the server and the client with all that they started.
        cores: that they are pinned to; empty means all.
    """
    seconds = max(after.at_s - before.at_s, 1e-9)
    watched = [core for core in (cores or after.busy_s) if core in after.busy_s and core in before.busy_s]
    busy = sum(after.busy_s[core] - before.busy_s[core] for core in watched)
    foreign = max(0.0, busy - ours_s) if watched else None
    return MachineLoad(
        load_1min=after.load_1min,
        cpu_pressure_share=_share(before.pressure_s, after.pressure_s, seconds),
        memory_stall_share=_share(before.memory_s, after.memory_s, seconds),
        steal_share=(after.steal_s - before.steal_s) / seconds / after.cores if after.cores else None,
        foreign_core_s=foreign,
        foreign_share=None if foreign is None else foreign / seconds / len(watched),
    )


def _share(before_s: float | None, after_s: float | None, seconds: float) -> float | None:
    return None if before_s is None or after_s is None else (after_s - before_s) / seconds


def remarks(load: MachineLoad) -> list[str]:
    """What a reader of the figures should know of the machine."""
    found = []
    if load.foreign_share is not None and load.foreign_share > FOREIGN_NOTE:
        found.append(
            f"others used {100 * load.foreign_share:.0f} % of the cores that it is pinned to (load average {load.load_1min or 0:.1f})"
        )
    if load.steal_share is not None and load.steal_share > STEAL_NOTE:
        found.append(f"the hypervisor took {100 * load.steal_share:.0f} % of the cores' time")
    if load.memory_stall_share is not None and load.memory_stall_share > MEMORY_NOTE:
        found.append(f"for {100 * load.memory_stall_share:.0f} % of the load all waited for memory")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
