"""What power says about a change of speed: one sentence a point, of figures that moved by more than their noise.

Utilisation is the share of time in which some kernel ran. A kernel that waits for memory, for another device, or with most of its units
idle keeps it at 100 %; power falls then, for what waits draws less. So the three together tell apart what each alone cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from utils.results.verdict.outcome import MetricVerdict, PointVerdict

MOVED = 5.0
"""Percent from which power moved beside a speed that did, where nobody knows its noise: two servers of one arm were 4 % apart on an H200."""
CLOCK_MOVED = 2.0
"""The same of a clock, which differs less."""
SAME_UTILISATION = 2.0
"""Percent within which utilisation is the same."""
LOWER_CLOCK = 1.0
"""Percent of a clock that explains speed."""


def readings(points: Iterable[PointVerdict], throttled: Mapping[str, list[str]]) -> list[str]:
    """Sentences for a comparison's notes.

    Args:
        points: judged, with the figures beside.
        throttled: point -> reasons that the head's devices gave for lower clocks and the base's did not.
    """
    return [
        f"{point.point}: {text}"
        for point in points
        if (text := _reading(point, throttled.get(point.point, [])))
    ]


def _reading(point: PointVerdict, throttled: list[str]) -> str:
    speed, power = point.metrics.get("tput"), point.beside.get("power")
    if point.invalid or speed is None or power is None or speed.percent is None or power.percent is None:
        return ""
    if speed.low_percent is None or not (_sign(speed) or _sign(power)):
        return ""  # nobody knows that anything moved
    if power.low_percent is None and not _sign(speed):
        return ""
    facts = f"throughput {speed.percent:+z.1f} %, power {power.percent:+z.1f} %"
    utilisation, clock = point.beside.get("util"), point.beside.get("clock")
    use = None if utilisation is None else utilisation.percent
    if utilisation is not None and use is not None:
        same = abs(use) < SAME_UTILISATION
        facts += f", utilisation {'the same' if same else f'{use:+z.1f} %'} ({utilisation.head:.0f} %)"
    facts += f", energy a token {energy.percent:+z.1f} %" if (energy := point.beside.get("j_tok")) else ""
    moved = Moved(
        _sign(speed), _sign(power), use, _moved(clock, CLOCK_MOVED) if clock else 0.0, tuple(throttled)
    )
    return f"{facts}: {_meaning(moved)}"


@dataclass(frozen=True, slots=True)
class Moved:
    """What moved by more than its noise."""

    speed: int
    """-1 slower, 1 faster, 0 where no change was seen."""
    power: int
    use: float | None
    """Percent of utilisation; None where nobody knows it."""
    clock: float
    """Percent."""
    throttled: tuple[str, ...]


def _meaning(moved: Moved) -> str:
    if moved.speed == 0:
        return "power moved, and no change of speed was seen"
    return _faster(moved) if moved.speed > 0 else _slower(moved)


def _faster(moved: Moved) -> str:
    if moved.power > 0:
        return "the devices did more in the same time"
    return "faster without more power: less work for each token"


def _slower(moved: Moved) -> str:
    if moved.throttled or moved.clock < -LOWER_CLOCK:
        why = f" ({', '.join(moved.throttled)})" if moved.throttled else ""
        return f"the head's devices ran at lower clocks{why}; that slows every kernel, and need not be the change's doing"
    if moved.power >= 0:
        return "the same tokens took more work: more was computed or moved for each"
    if moved.use is None:
        return "the devices did less in the same time"
    if moved.use > -SAME_UTILISATION:
        return (
            f"kernels ran for {'as much' if moved.use < SAME_UTILISATION else 'more'} of the time and did less in it: they waited, for "
            "memory, for each other or for another device, or left units idle; utilisation cannot show that. Look for a slower kernel, not "
            "for clocks or the host"
        )
    return "the devices were idle more often: look at the host, the queue and gaps between kernels, not at the kernels"


def _moved(one: MetricVerdict, at_least: float = MOVED) -> float:
    """By how much a figure moved, in percent; 0 where that is within its noise, or below a bound where nobody knows that."""
    if one.percent is None:
        return 0.0
    if one.low_percent is not None and one.high_percent is not None:
        return one.percent if one.low_percent * one.high_percent > 0 else 0.0
    return one.percent if abs(one.percent) >= at_least else 0.0


def _sign(one: MetricVerdict) -> int:
    moved = _moved(one)
    return (moved > 0) - (moved < 0)
