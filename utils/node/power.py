"""Power over a measured window: integrated from samples, or no figure and why. Pure.

Watts are taken as straight lines between samples (trapezoids), cut exactly at the window's ends. What a device draws between two looks is
not seen: nvidia-smi's figure is a mean over the last second, of which the sensor saw a part, so that windows of a few seconds mislead.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from utils.node.devices import UNEXPLAINED, slowing
from utils.node.host.meter_tools import HOST
from utils.node.record import Power

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from utils.node.power_samples import Sample

GAP_MOST_S = 3.0
"""Between two samples of a device; they come once a second."""
WATTS_LEAST, WATTS_MOST = 5.0, 3000.0
"""Of a device: a tool that says less than it draws when idle, or more than any has, is not believed."""
CAP_MOST = 1.5
"""Of the power cap, where one is known."""
BEFORE_S = 10.0
"""Before a window, in which a card may already be hot: its warm-up."""
IDLE, BUSY = 0.05, 0.2
"""Mean utilisation of a device that did not work, and of one that did."""
PARTITIONS = {"DPX": 2, "TPX": 3, "QPX": 4, "CPX": 8}
"""Devices that one card counts as, by its compute partition; only the first of them has power."""
WHOLE = {"", "SPX", "whole"}
"""Partitions of which a device is a card; also one that nothing tells."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a window is of."""

    start_s: float
    """Monotonic clock."""
    end_s: float
    devices: int
    """That the point uses."""
    output_tokens: int
    tokens: int
    """Input and output."""
    visible: tuple[str, ...] = ()
    """The devices that the server may use, in order, by numbers or by names that no tool prints; empty: all."""
    cap_w: float | None = None
    partition: str = ""
    """Of the devices, as a record has it."""


def over(samples: Sequence[Sample], use: Use, meter: str, remarks: Sequence[str] = ()) -> Power | None:
    """Power over a window; None where nothing measures it.

    Args:
        samples: of all devices, from before the window to after it.
        use: the window and what ran in it.
        meter: what measured.
        remarks: what it said of itself.
    """
    if meter == "none":
        return None
    if use.end_s <= use.start_s:
        return Power(meter=meter, invalid=["impossible: the window has no length"])
    by_device: dict[str, list[Sample]] = {}
    for one in samples:
        by_device.setdefault(one.device, []).append(one)
    host = by_device.pop(HOST, [])
    of_host = meter == "rapl"
    if of_host:
        chosen, wrong = [HOST], "" if host else "count: no sample of the host"
        by_device = {HOST: host}
    else:
        chosen, wrong = _chosen(by_device, use, remarks)
    invalid = [wrong] if wrong else []
    known = {name: by_device.get(name, []) for name in chosen}
    joules = 0.0
    for name, found in known.items():
        reason = _unfit(name, found, use)
        if reason and not wrong:
            invalid.append(reason)
        elif not reason:
            joules += _integral(found, use)
    inside = [one for found in known.values() for one in found if use.start_s <= one.at_s <= use.end_s]
    host_w = None if of_host or _unfit(HOST, host, use) else _integral(host, use) / (use.end_s - use.start_s)
    made = Power(
        meter=meter,
        mean_utilisation=_mean(one.utilisation for one in inside if 0 <= (one.utilisation or 0) <= 1),
        mean_clock_mhz=_mean(one.clock_mhz for one in inside),
        mean_memory_clock_mhz=_mean(one.memory_clock_mhz for one in inside),
        max_temperature_c=max((t for one in inside if (t := one.temperature_c) is not None), default=None),
        max_memory_bytes=max((m for one in inside if (m := one.memory_bytes) is not None), default=None),
        throttled=_reasons(inside),
        slowed_share=None if of_host else _mean(map(_slowed, inside)),
        throttled_before=_reasons(_before(known, use)),
        host_mean_w=host_w,
        samples=len(inside),
        invalid=invalid[:8],
    )
    if invalid or not joules:
        return made
    watts = joules / (use.end_s - use.start_s) / use.devices
    update = {
        "mean_w_per_device": watts,
        "joules_per_output_token": joules / use.output_tokens if use.output_tokens else None,
        "joules_per_token": joules / use.tokens if use.tokens else None,
        "total_tok_per_s_per_w": use.tokens / joules,
    }
    return made.model_copy(update=update)


def _chosen(by_device: dict[str, list[Sample]], use: Use, remarks: Sequence[str]) -> tuple[list[str], str]:
    """The devices whose watts count, and why they cannot be told."""
    there = sorted(by_device, key=lambda name: (len(name), name))
    wanted, wrong = _wanted(there, use, remarks)
    if wrong:
        return [], wrong
    used = wanted[: use.devices]
    compute = use.partition.split("/")[0]
    if compute not in WHOLE and compute not in PARTITIONS:
        return [], f"count: devices are partitioned as {compute[:20]}, and power is a card's"
    per_card = PARTITIONS.get(compute, 1)
    if per_card > 1:
        cards = {int(name) // per_card for name in used}
        if use.devices != per_card * len(cards):
            return (
                [],
                f"count: {use.devices} partitions share {len(cards)} cards with others, and power is a card's",
            )
        used = [str(card * per_card) for card in sorted(cards)]
        return (used, "") if all(name in by_device for name in used) else ([], "count: a card has no sample")
    means = {name: _mean(one.utilisation for one in _inside(by_device[name], use)) for name in there}
    busy = {name: mean for name, mean in means.items() if mean is not None}
    idle = [name for name in used if busy.get(name, 1.0) < IDLE]
    others = [name for name in there if name not in used and busy.get(name, 0.0) > BUSY]
    if idle and others:
        return (
            [],
            f"count: devices {', '.join(others)} worked, and not {', '.join(idle)}, which the point should use",
        )
    return used, ""


def _wanted(there: list[str], use: Use, remarks: Sequence[str]) -> tuple[list[str], str]:
    """The devices that the server may use, of those with samples, and why they cannot be told or are too few."""
    if not there:
        return [], f"count: no sample ({'; '.join(remarks[-2:]) or 'the meter said nothing'})"
    named = [name for name in use.visible if not name.isdigit()]
    if named and len(there) != use.devices:
        return (
            [],
            f"count: which of {len(there)} devices are {', '.join(named)[:80]} is not known; give their numbers",
        )
    known = there if named or not use.visible else [one for one in dict.fromkeys(use.visible) if one in there]
    if len(known) < use.devices:
        return [], f"count: samples of {len(known)} devices, the point uses {use.devices}"
    return known, ""


def _inside(found: Sequence[Sample], use: Use) -> list[Sample]:
    return [one for one in found if use.start_s <= one.at_s <= use.end_s]


def _reasons(samples: Sequence[Sample]) -> list[str]:
    return sorted({word for one in samples for word in one.throttle or ()})


def _slowed(one: Sample) -> float | None:
    """1 where something is wrong with the machine, 0 where nothing is; None where the tool gives no reason, or does not say."""
    if one.throttle is None or one.throttle == (UNEXPLAINED,):
        return None
    return float(bool(slowing(one.throttle)))


def _before(known: Mapping[str, Sequence[Sample]], use: Use) -> list[Sample]:
    begin = use.start_s - BEFORE_S
    return [one for found in known.values() for one in found if begin <= one.at_s < use.start_s]


def _around(found: Sequence[Sample], use: Use) -> list[Sample]:
    """From the last sample at or before the window to the first at or after it, of those that have watts.

    Outside of the window one that is believed is taken before one that is not.
    """
    powered = [one for one in found if one.watts is not None]
    before = [one for one in powered if one.at_s <= use.start_s]
    before = ([one for one in before if not _odd(one, use.cap_w)] or before)[-1:]
    after = [one for one in powered if one.at_s >= use.end_s]
    after = ([one for one in after if not _odd(one, use.cap_w)] or after)[:1]
    within = [one for one in powered if use.start_s < one.at_s < use.end_s]
    return [*before, *within, *after]


def _unfit(name: str, found: Sequence[Sample], use: Use) -> str:
    """Why the samples of a device give no figure; empty where they do. What is wrong outside the window does not matter."""
    around = _around(found, use)
    if not around:
        return f"count: device {name} has no power" if found else f"count: no sample of device {name}"
    if around[0].at_s > use.start_s or around[-1].at_s < use.end_s:
        side = "before its start" if around[0].at_s > use.start_s else "after its end"
        return f"not bracketed: no sample of device {name} {side}"
    times = [one.at_s for one in around]
    steps = [after - before for before, after in pairwise(times)]
    if max(steps, default=0.0) > GAP_MOST_S:
        return f"gap: {max(steps):.1f} s without a sample of device {name}, at most {GAP_MOST_S:.0f} s"
    return _unbelieved(name, around, use.cap_w)


def _unbelieved(name: str, around: Sequence[Sample], cap_w: float | None) -> str:
    """What cannot be so; empty where all can."""
    if any(after.at_s < before.at_s for before, after in pairwise(around)):
        return f"impossible: the samples of device {name} are not in order"
    odd = next((text for one in around if (text := _odd(one, cap_w))), "")
    return f"impossible: device {name} {odd}" if odd else ""


def _odd(one: Sample, cap_w: float | None) -> str:
    """What cannot be so of a sample; empty where all can."""
    most = min(WATTS_MOST, CAP_MOST * cap_w) if cap_w else WATTS_MOST
    if one.watts is None or not WATTS_LEAST <= one.watts <= most:
        return f"drew {one.watts} W, believed is {WATTS_LEAST:.0f} to {most:.0f} W"
    if one.utilisation is not None and not 0 <= one.utilisation <= 1:
        return f"was used to {100 * one.utilisation:.0f} %"
    return ""


def _integral(found: Sequence[Sample], use: Use) -> float:
    """Joules of a device over exactly the window."""
    around = _around(found, use)
    times = np.array([one.at_s for one in around])
    watts = np.array([one.watts for one in around], dtype=float)
    ends = np.interp([use.start_s, use.end_s], times, watts)
    within = (times > use.start_s) & (times < use.end_s)
    return float(np.trapezoid([ends[0], *watts[within], ends[1]], [use.start_s, *times[within], use.end_s]))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
