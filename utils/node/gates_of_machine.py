"""Gates of what else ran: the client itself, others on the cores and on the devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.node import devices, machine
from utils.node.record import Gate

if TYPE_CHECKING:
    from utils.node.looked_at import Evidence

CLIENT_SHARE_MOST = 0.6
SHARED = 1.0
"""`limits.foreign_share` of a cluster whose machine is shared, so that what others do to a figure is a note."""


def client_limited(e: Evidence) -> Gate:
    """The client used at most 60 % of a core; beyond that it measures itself."""
    share = e.telemetry.client_cpu_share
    return _gate(
        "client_limited",
        share <= CLIENT_SHARE_MOST,
        f"{100 * share:.0f} % of a core, at most {100 * CLIENT_SHARE_MOST:.0f} %",
    )


def machine_busy(e: Evidence) -> Gate:
    """Others used less of the pinned cores than the cluster's limits.foreign_share, the hypervisor took less than a tenth, and all waited for memory for less than a tenth of the load; a note comes earlier."""
    load = e.telemetry.machine
    if load is None or load.foreign_share is None:
        return _gate("machine_busy", passed=True, found="this kernel does not show what others used")
    steal, memory = load.steal_share or 0.0, load.memory_stall_share or 0.0
    alone = steal <= machine.STEAL_MOST and memory <= machine.MEMORY_MOST
    good = load.foreign_share <= e.foreign_most and (alone or e.foreign_most >= SHARED)
    text = f"others used {100 * load.foreign_share:.1f} % of the cores, {100 * e.foreign_most:.0f} % allowed; steal {100 * steal:.1f} %"
    text += f"; waits for memory {100 * memory:.1f} %" if memory else ""
    return _gate("machine_busy", good, text)


def devices_own(e: Evidence) -> Gate:
    """No other process was on the devices, and heat, a brake or a fault lowered clocks in at most a tenth of the samples; a note comes earlier."""
    why = devices.problems(e.telemetry.machine, e.power)
    if not why and e.power is None:
        return _gate("devices_own", passed=True, found="no meter of devices ran")
    return _gate("devices_own", not why, "; ".join(why) or "nobody else's, and at their clocks")


def _gate(name: str, passed: bool, found: str) -> Gate:  # noqa: FBT001 - always a comparison, read beside it
    return Gate(name=name, passed=bool(passed), found=found)


GATES = (client_limited, machine_busy, devices_own)
