"""Where a change of TPOT comes from: the pair of profiles of a point beside what was measured of it, in one line.

A step of decode makes `tokens / requests` tokens of each request, so that milliseconds of a step, divided by it, are milliseconds of TPOT.
Kernels explain the change where the difference of what they took (overlap counted once) is the measured one within a tenth of it, or within
half of the pair's own interval, whichever is more. The rest is named: gaps inside of the steps, and what is not in these steps at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.metrics import three
from utils.profile.compare import compare
from utils.profile.rules import DECODE
from utils.results.verdict.outcome import Part, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.profile.figures import Phase, Profile
    from utils.results.verdict.outcome import MetricVerdict, PointVerdict

METRIC = "tpot"
WITHIN = 0.1
"""Of the measured difference."""
NAMED = 3
"""Kernels that a line names."""
SMALL = 0.05
"""Of the measured difference: a kernel or a part below it is not named."""
LONGEST = 60
"""Letters of a kernel's name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A point's change of TPOT, in ms a token."""

    ms: float
    low_ms: float | None
    high_ms: float | None
    """95 % interval; None where nothing says what noise is."""

    @property
    def allowed_ms(self) -> float:
        """By how much what is found may miss it."""
        half = 0.0 if self.low_ms is None or self.high_ms is None else (self.high_ms - self.low_ms) / 2
        return max(WITHIN * abs(self.ms), half)


def moved_most(points: Sequence[PointVerdict]) -> PointVerdict | None:
    """The point whose TPOT moved most; None where no point's interval leaves out zero.

    A point without an interval counts where its change is above the floor.
    """
    moved = [one for one in points if _moved(one)]
    return max(moved, key=lambda one: abs(one.metrics[METRIC].percent or 0.0), default=None)


def _moved(point: PointVerdict) -> bool:
    found = measured(point)
    if found is None:
        return False
    if found.low_ms is None or found.high_ms is None:
        one = point.metrics[METRIC]
        return abs(one.percent or 0.0) > one.floor_percent
    return found.low_ms * found.high_ms > 0


def measured(point: PointVerdict) -> Measured | None:
    """The change of its TPOT; None where nothing can be said of it."""
    one = point.metrics.get(METRIC)
    if point.invalid or one is None or one.base is None or one.percent is None:
        return None
    low, high = (
        None if each is None else one.base * each / 100 for each in (one.low_percent, one.high_percent)
    )
    return Measured(one.base * one.percent / 100, low, high)


def because(point: PointVerdict, base: Profile, head: Profile) -> Reason:
    """Where a point's change comes from.

    Args:
        point: judged; its TPOT has an interval.
        base: of its decode steps, of the same point and concurrency.
        head: the same of the other arm.
    """
    found = measured(point)
    one, other = base.phase(DECODE), head.phase(DECODE)
    if found is None:
        return _nothing(point, "its TPOT has no change that a profile could explain")
    if one is None or other is None:
        arm = "base" if one is None else "head"
        return _nothing(point, f"the profile of the {arm} has no decode step")
    per, per_head = _tokens(one), _tokens(other)
    difference = compare(one, other)
    busy, gaps = (_mean(other, n) / per_head - _mean(one, n) / per for n in ("busy_ms", "idle_ms"))
    starved, queued = (_gap(one, other, name, per, per_head) for name in ("starved_ms", "queued_ms"))
    kernels = sorted(
        (
            Part(name=each.name, family=each.family, ms=each.head_ms / per_head - each.base_ms / per)
            for each in difference.kernels
        ),
        key=lambda part: (-abs(part.ms), part.name),
    )
    parts = [Part(name="gaps in the steps", family="host", ms=gaps)]
    if starved is not None and queued is not None:
        parts = [
            Part(name="gaps in which the host was late", family="host", ms=starved),
            Part(name="gaps in which work was queued", family="queue", ms=queued),
        ]
    outside = found.ms - busy - sum(part.ms for part in parts)
    parts.append(
        Part(
            name="outside of these steps (queue, prefill of others, what the profiler adds)",
            family="outside",
            ms=outside,
        )
    )
    made = Reason(
        point=point.point,
        explained=abs(found.ms - busy) <= found.allowed_ms,
        measured_ms=found.ms,
        low_ms=found.low_ms,
        high_ms=found.high_ms,
        kernels_ms=busy,
        allowed_ms=found.allowed_ms,
        kernels=[part for part in kernels if part.ms][:12],
        rest=parts,
        text="",
    )
    return made.model_copy(update={"text": _text(made, point.metrics[METRIC])})


def _nothing(point: PointVerdict, why: str) -> Reason:
    return Reason(point=point.point, explained=False, text=f"{point.point}: not explained: {why}")


def _tokens(phase: Phase) -> float:
    """New tokens of a request in a step: 1 without speculation, and where no annotation says it."""
    known = [one.tokens / one.requests for one in phase.steps if one.tokens and one.requests]
    return sum(known) / len(known) if known else 1.0


def _mean(phase: Phase, name: str) -> float:
    return float(sum(getattr(one, name) for one in phase.steps)) / len(phase.steps)


def _gap(one: Phase, other: Phase, name: str, per: float, per_head: float) -> float | None:
    if any(getattr(step, name) is None for phase in (one, other) for step in phase.steps):
        return None
    return _mean(other, name) / per_head - _mean(one, name) / per


def _text(reason: Reason, metric: MetricVerdict) -> str:
    total = reason.measured_ms
    interval = "no interval"
    if reason.low_ms is not None and reason.high_ms is not None:
        interval = f"{_ms(reason.low_ms, unit=False)} to {_ms(reason.high_ms)}"
    said = (
        f"{reason.point}: TPOT {_ms(total)} a token ({metric.percent:+z.1f} %, {interval}); "
        f"kernels {_ms(reason.kernels_ms)}{_share(reason.kernels_ms, total)}"
    )
    named = [part for part in reason.kernels[:NAMED] if abs(part.ms) >= SMALL * abs(total)]
    if named:
        said += ": " + ", ".join(
            f"{_short(part.name)} ({part.family}) {_ms(part.ms)}{_share(part.ms, total)}" for part in named
        )
    if reason.explained:
        return said
    left = sorted(reason.rest, key=lambda part: -abs(part.ms))
    parts = ", ".join(f"{_ms(part.ms)} {part.name}" for part in left if abs(part.ms) >= SMALL * abs(total))
    return f"{said}; not explained by kernels: {_ms(total - reason.kernels_ms)}, of which {parts}"


def _ms(value: float, *, unit: bool = True) -> str:
    return f"{'-' if value < 0 else '+'}{three(abs(value))}{' ms' if unit else ''}"


def _share(value: float, total: float) -> str:
    return f" ({100 * value / total:.0f} % of it)" if total else ""


def _short(name: str) -> str:
    one = " ".join(name.split())
    return one if len(one) <= LONGEST else f"{one[: LONGEST - 1]}…"
