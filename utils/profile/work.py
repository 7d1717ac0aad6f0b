"""What was done, the same for a GPU's kernels and a CPU's operators, so that all that follows need not tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.columns import NO_LAUNCH, Table
from utils.profile.nesting import own_time, parents

if TYPE_CHECKING:
    from utils.profile.columns import Flags, Floats, Ints
    from utils.profile.trace import Trace

GRAPH = "graphlaunch"


@dataclass(frozen=True)
class Work:
    """Kernels and copies of one device, or operators of all threads, in order of their start."""

    table: Table
    own: Floats
    """Microseconds of each: a kernel's duration, an operator's without what it called."""
    launched: Floats
    """When the host called for it; NaN where the trace does not tell."""
    by_graph: Flags
    """Whether a graph's launch called for it."""
    annotations_us: float
    """The annotations' own time on the host, which torch's key_averages counts as if it were an operator's."""
    device: str

    def pick(self, which: Flags | Ints) -> Work:
        """Some of it."""
        return Work(
            self.table.pick(which),
            self.own[which],
            self.launched[which],
            self.by_graph[which],
            self.annotations_us,
            self.device,
        )

    def __len__(self) -> int:
        return len(self.table)


def of(trace: Trace) -> Work:
    """A trace's work; of several devices that one which did most."""
    return _operators(trace) if trace.on_host else _kernels(trace)


def _operators(trace: Trace) -> Work:
    both = trace.host
    is_note = both.name < 0
    own = own_time(both, parents(both))
    kept = ~is_note
    trace.host = both.pick(np.zeros(0, dtype=np.int64))  # only this wants it, and it is large
    table = both.pick(kept)
    none = np.zeros(len(table), dtype=bool)
    unknown = np.broadcast_to(np.float64(np.nan), (len(table),))
    return Work(table, own[kept], unknown, none, float(own[is_note].sum()), "host")


def _kernels(trace: Trace) -> Work:
    table = trace.device
    devices = np.array([device for device, _ in trace.lanes])
    mine = devices[table.lane]
    did = {one: float(table.duration[mine == one].sum()) for one in np.unique(mine)}
    busiest = max(did, key=lambda one: did[one])
    if len(did) > 1:
        told = ", ".join(f"{one}: {did[one] / 1000:,.1f} ms" for one in sorted(did))
        trace.remarks.append(f"work of {len(did)} devices ({told}): device {busiest} is shown")
        table = table.pick(mine == busiest)
    launched, by_graph = _launches(trace, table)
    unknown = int(np.isnan(launched).sum())
    if unknown:
        trace.remarks.append(
            f"{unknown:,} of {len(table):,} kernels and copies have no launch in this trace (was the CPU activity off?): "
            "which step they are of is taken from the time, and gaps before them are of unknown cause"
        )
    return Work(table, table.duration, launched, by_graph, 0.0, str(busiest))


def _launches(trace: Trace, table: Table) -> tuple[Floats, Flags]:
    """When each was called for, and whether by a graph; of several calls with one correlation the first."""
    calls = trace.launches.pick(trace.launches.correlation != NO_LAUNCH)
    order = np.argsort(calls.correlation, kind="stable")
    known = calls.correlation[order]
    at = np.searchsorted(known, table.correlation)
    found = at < len(known)
    found[found] = known[at[found]] == table.correlation[found]
    launched = np.full(len(table), np.nan)
    launched[found] = calls.start[order][at[found]]
    is_graph = np.array([GRAPH in name.lower() for name in trace.names], dtype=bool)
    by_graph = np.zeros(len(table), dtype=bool)
    by_graph[found] = is_graph[calls.name[order][at[found]]]
    return launched, by_graph
