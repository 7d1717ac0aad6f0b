"""Two profiles side by side: where a step's milliseconds went, by family and by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from utils.profile.figures import Phase, Profile


@dataclass(frozen=True, slots=True)
class Difference:
    """One family or kernel in the mean step of both."""

    name: str
    family: str
    base_ms: float
    head_ms: float
    ms: float
    """The difference: above 0 where the head takes longer."""
    share: float
    """Its part of all differences, each without its sign: parts add up to 1, also where gains and losses cancel out."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A phase of two profiles; lists begin with the largest difference."""

    phase: str
    base_ms: float
    """A step, to the next one's begin."""
    head_ms: float
    base_kernel_ms: float
    head_kernel_ms: float
    families: list[Difference]
    kernels: list[Difference]


def phases(base: Profile, head: Profile) -> list[Comparison]:
    """Each phase that both have."""
    return [compare(one, other) for one in base.phases if (other := head.phase(one.phase)) is not None]


def compare(base: Phase, head: Phase) -> Comparison:
    """The same phase of two profiles."""
    return Comparison(
        phase=base.phase,
        base_ms=_mean(base),
        head_ms=_mean(head),
        base_kernel_ms=base.kernel_ms,
        head_kernel_ms=head.kernel_ms,
        families=_differences(
            {(one.family, one.family): one.ms for one in base.families},
            {(one.family, one.family): one.ms for one in head.families},
        ),
        kernels=_differences(
            {(one.name, one.family): one.ms for one in base.kernels},
            {(one.name, one.family): one.ms for one in head.kernels},
        ),
    )


def _mean(phase: Phase) -> float:
    return sum(one.ms for one in phase.steps) / len(phase.steps)


def _differences(
    base: Mapping[tuple[str, str], float], head: Mapping[tuple[str, str], float]
) -> list[Difference]:
    names = list(dict.fromkeys([*base, *head]))
    total = sum(abs(head.get(one, 0.0) - base.get(one, 0.0)) for one in names) or 1.0
    made = [
        Difference(
            name=one[0],
            family=one[1],
            base_ms=base.get(one, 0.0),
            head_ms=head.get(one, 0.0),
            ms=head.get(one, 0.0) - base.get(one, 0.0),
            share=abs(head.get(one, 0.0) - base.get(one, 0.0)) / total,
        )
        for one in names
    ]
    return sorted(made, key=lambda one: (-one.share, one.name))
