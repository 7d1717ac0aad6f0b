"""Power and foreign processes of a load, made anew from the samples that the host's meter wrote outside of the container."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.node import devices, power, power_meter, power_samples, window_stats
from utils.results.recompute.left import opened
from utils.results.recompute.same import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from utils.node.record import Power, Record
    from utils.node.requests_raw import RawLoad

FILES = ("power.csv.gz", "power.csv")
"""In a job's folder; the second of a batch script that was killed."""
MOST = 400_000_000
"""Bytes, unpacked: eight devices over some weeks."""
HEAD_LINES = 40
AROUND_S = 60.0
"""Samples before and after a load that are read: more than anything looks at."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the meter saw over a load."""

    power: Power | None
    """None where nothing measures it."""
    others: list[str]
    """Processes of others on the devices."""


def outside(one: Record, raw: RawLoad, folder: Path, found: Mapping[str, Any]) -> Outside | None:
    """The meter's word on a record's load; None where no meter wrote a file that can be read.

    Args:
        one: a record with figures.
        raw: its load.
        folder: the point's.
        found: what was written outside of the container: the devices that the scheduler gave, their power cap and partition.
    """
    lines = _lines(folder.parent.parent)
    if lines is None or one.load is None:
        return None
    begin, end = raw.first_start_s, raw.first_start_s + raw.duration_s
    meter, remarks = power_samples.about(lines[:HEAD_LINES])
    near = [line for line in lines if begin - AROUND_S <= _time(line) <= end + AROUND_S]
    counts = window_stats.counts(raw, one.load.requests)
    node = found.get("node") or {}
    given = found.get("visible") or {} if one.environment == "image" else {}
    use = power.Use(
        start_s=begin,
        end_s=end,
        devices=one.devices,
        output_tokens=counts.output_tokens,
        tokens=counts.input_tokens + counts.output_tokens,
        visible=power_meter.visible({**given, **one.serve_env}, meter),
        cap_w=node.get("power_cap_w"),
        partition=node.get("partition") or "",
    )
    samples = [sample for line in near if (sample := power_samples.parse(line))]
    made = power.over(samples, use, meter, remarks)
    return Outside(made, power_samples.others(lines, begin, end))


def differences(one: Record, seen: Outside | None) -> Iterator[Difference]:
    """What the meter saw that makes a load no measurement, and that its record does not say."""
    if seen is None:
        return
    beside = one.telemetry.machine if one.telemetry else None
    said = beside.foreign_gpu_processes if beside else []
    if missing := [name for name in seen.others if name not in said]:
        yield Difference(
            "telemetry.machine.foreign_gpu_processes", ", ".join(said) or "none", ", ".join(missing)
        )
    if wrong := [
        text for text in devices.problems(None, seen.power) if not devices.problems(None, one.power)
    ]:
        yield Difference("power.slowed_share", "clocks that were not lowered", wrong[0])


def _lines(job: Path) -> list[str] | None:
    for name in FILES:
        try:
            with opened(job / name) as file:
                content = file.read(MOST + 1)
            if name.endswith(".gz"):
                with gzip.open(io.BytesIO(content)) as packed:
                    content = packed.read(MOST + 1)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, EOFError, zlib.error):
            return None
        return content[:MOST].decode(errors="replace").splitlines()[:-1]  # the last can be cut
    return None


def _time(line: str) -> float:
    """A sample's; before everything for what is none."""
    try:
        return float(line.split(",", 1)[0])
    except ValueError:
        return float("-inf")
