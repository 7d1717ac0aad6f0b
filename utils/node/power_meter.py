"""A point's power: the host's samples over the load's window, of the devices that the server may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.node import power
from utils.node.host.gpus import VISIBLE
from utils.node.power_samples import Samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.plan import Point
    from utils.node.record import Counts, Power
    from utils.node.spec import NodeJob


def visible(env: Mapping[str, str], meter: str = "") -> tuple[str, ...]:
    """The devices that a server with these variables may use, in order; those that are no plain numbers are no tool's own.

    On ROCm two variables are at work, one inside the other: HIP's numbers (CUDA's are a name of the same) count what ROCR's leaves.
    """
    if meter != "amd-smi":
        return _list(env, VISIBLE)
    seen, left = _list(env, ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")), _list(env, (ROCR,))
    if seen and left and all(name.isdecimal() and int(name) < len(left) for name in seen):
        return tuple(left[int(name)] for name in seen)
    return seen or left


def _list(env: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    said = next((env[name] for name in names if env.get(name)), "")
    return tuple(name.strip() for name in said.split(",") if name.strip())


ROCR = "ROCR_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class PowerMeter:
    """What a run knows about its power."""

    samples: Samples
    env: Mapping[str, str]
    """The server's, which says what devices it may use."""
    cap_w: float | None
    partition: str

    @classmethod
    def of(cls, spec: NodeJob, env: Mapping[str, str]) -> PowerMeter | None:
        """For a run with a server's environment; None where no meter was started."""
        if not spec.samples:
            return None
        node = spec.found.node
        samples = Samples(Path(spec.samples))
        return cls(samples, dict(env), node.get("power_cap_w"), node.get("partition") or "")

    def others(self, mark: int, window: tuple[float, float]) -> list[str]:
        """Processes of others on the devices between two moments, as `PID name`."""
        return self.samples.others(mark, *window)

    def over(self, mark: int, window: tuple[float, float], point: Point, counts: Counts) -> Power | None:
        """Power between two moments of the monotonic clock; waits a moment for the sample after the second."""
        meter, remarks = self.samples.about()
        if meter == "none":
            return None
        use = power.Use(
            start_s=window[0],
            end_s=window[1],
            devices=point.devices,
            output_tokens=counts.output_tokens,
            tokens=counts.input_tokens + counts.output_tokens,
            visible=visible(self.env, meter),
            cap_w=self.cap_w,
            partition=self.partition,
        )
        return power.over(self.samples.until(mark, window[1]), use, meter, remarks)
