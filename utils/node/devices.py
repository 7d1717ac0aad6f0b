"""What a load's devices are called, and what else happened on them: processes of others, and clocks that heat or the supply lowered. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import MachineLoad, Power, Record

UNEXPLAINED = "throttled"
"""All that amd-smi says of lower clocks, whatever the reason."""
EXPECTED = frozenset({"power cap", "sync boost", UNEXPLAINED})
"""Reasons for lower clocks that a loaded card gives in good health."""
SLOWED_MOST = 0.1
"""Share of a window's samples in which heat or the supply lowered a clock; beyond it the card is what was measured."""


def name(one: Record) -> str:
    """The device for people: as its tool calls it, else as the cluster's file does; of a CPU, whose file says no more, its model."""
    said = str(one.parts.get("devices", {}).get("model") or "cpu")
    return one.node.gpu_model or (one.node.cpu_model if said == "cpu" else said)


def slowing(reasons: Sequence[str]) -> list[str]:
    """Those of a sample's reasons that say that something is wrong with the machine."""
    return [reason for reason in reasons if reason not in EXPECTED]


def problems(load: MachineLoad | None, power: Power | None) -> list[str]:
    """Why the devices were not the load's own, or not themselves; empty where nothing was seen."""
    found = []
    if load and load.foreign_gpu_processes:
        found.append(f"others used the devices: {', '.join(load.foreign_gpu_processes[:4])}")
    if power and (power.slowed_share or 0.0) > SLOWED_MOST:
        found.append(
            f"{_slowed(power)} lowered clocks in {100 * (power.slowed_share or 0.0):.0f} % of the samples, at most {100 * SLOWED_MOST:.0f} %"
        )
    return found


def remarks(power: Power | None) -> list[str]:
    """What a reader of the figures should know of the devices."""
    if power is None:
        return []
    found = []
    if power.slowed_share:
        found.append(f"{_slowed(power)} lowered clocks in {100 * power.slowed_share:.0f} % of the samples")
    if before := slowing(power.throttled_before):
        found.append(f"{' and '.join(before)} lowered clocks before the load")
    return found


def _slowed(power: Power) -> str:
    return " and ".join(slowing(power.throttled)) or "something"
