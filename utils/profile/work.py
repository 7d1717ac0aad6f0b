"""What was done, the same for a GPU's kernels and a CPU's operators, so that all that follows need not tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.columns import Calls, blocks, sums
from utils.profile.nesting import own_time, parents

if TYPE_CHECKING:
    from utils.profile.columns import Flags, Floats, Ints, Table
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

    def pick(self, which: slice | Ints) -> Work:
        """Some of it."""
        return Work(
            self.table.pick(which),
            self.own[which],
            self.launched[which],
            self.by_graph[which],
            self.annotations_us,
            self.device,
        )

    def lanes_us(self, lanes: int) -> Floats:
        """What each of so many lanes did, to a nanosecond, so that two that did the same are alike."""
        return np.round(sums(self.table.lane, self.own, lanes), 3)

    def __len__(self) -> int:
        return len(self.table)


def of(trace: Trace) -> Work:
    """A trace's work; of several devices that one which did most."""
    return _operators(trace) if trace.on_host else _kernels(trace)


def _operators(trace: Trace) -> Work:
    table = trace.host
    own = own_time(table, parents(table))
    is_note = table.name < 0
    annotations_us = float(own[is_note].sum())
    if is_note.any():
        own = own[~is_note]
        table.keep(~is_note)
    unknown = np.broadcast_to(np.float64(np.nan), (len(table),))
    return Work(table, own, unknown, np.broadcast_to(np.False_, (len(table),)), annotations_us, "host")


def _kernels(trace: Trace) -> Work:
    table = trace.device
    devices = [device for device, _ in trace.lanes]
    took = sums(table.lane, table.duration, len(devices))
    did = {
        one: round(float(took[[other == one for other in devices]].sum()), 3)
        for one in sorted({devices[lane] for lane in np.unique(table.lane)})
    }
    busiest = max(did, key=lambda one: did[one])
    if len(did) > 1:
        told = ", ".join(f"{one}: {did[one] / 1000:,.1f} ms" for one in sorted(did))
        trace.remarks.append(f"work of {len(did)} devices ({told}): device {busiest} is shown")
        table.keep(np.array([one == busiest for one in devices])[table.lane])
    launched, by_graph = _launches(trace, table)
    unknown = int(np.isnan(launched).sum())
    if unknown:
        trace.remarks.append(
            f"{unknown:,} of {len(table):,} kernels and copies have no launch in this trace (was the CPU activity off?): "
            "which step they are of is taken from the time, and gaps before them are of unknown cause"
        )
    return Work(table, table.duration, launched, by_graph, 0.0, busiest)


def _launches(trace: Trace, table: Table) -> tuple[Floats, Flags]:
    """When each was called for, and whether by a graph; of several calls with one correlation the first."""
    calls, mine = trace.launches, table.correlation
    table.correlation = mine[:0].copy()  # nothing else asks for them, and they are large
    if not len(calls.start):
        return np.broadcast_to(np.float64(np.nan), (len(table),)), np.broadcast_to(np.False_, (len(table),))
    is_graph = np.array([GRAPH in name.lower() for name in trace.names], dtype=bool)
    launched, by_graph = np.full(len(table), np.nan), np.zeros(len(table), dtype=bool)
    for part in blocks(len(table)):
        at = np.searchsorted(calls.correlation, mine[part])
        found = np.flatnonzero(at < len(calls.correlation))
        found = found[calls.correlation[at[found]] == mine[part][found]]
        launched[part.start + found] = calls.start[at[found]]
        by_graph[part.start + found] = is_graph[calls.name[at[found]]]
    trace.launches = Calls.none()
    return launched, by_graph
