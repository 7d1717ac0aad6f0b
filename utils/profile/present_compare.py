"""Profiles side by side, as tables: the first one is what the others are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.profile.compare import phases
from utils.profile.present import Block, layers_line, ms, short

if TYPE_CHECKING:
    from utils.profile.compare import Comparison, Difference
    from utils.profile.figures import Profile


def against_first(profiles: list[Profile], top: int) -> list[Block]:
    """A table of differences for each further profile and each phase that it shares with the first."""
    base = profiles[0]
    blocks = [_sides(profiles)]
    for number, head in enumerate(profiles[1:], 2):
        found = phases(base, head)
        for one in found:
            title = f"{one.phase}: [{number}] against [1], ms a step"
            blocks.append(
                Block(
                    f"{title}, by family",
                    _columns(number, "family"),
                    [_row(d) for d in one.families],
                    [_sum(one)],
                )
            )
            kernels = [_row(d, named=True) for d in one.kernels[:top] if d.ms]
            blocks.append(
                Block(
                    f"{title}, by kernel",
                    _columns(number, "kernel", "family") if kernels else (),
                    kernels,
                    _rest(one, top) if kernels else ["no kernel's time differs"],
                )
            )
        if not found:
            own, other = (", ".join(one.phase for one in side.phases) for side in (base, head))
            blocks.append(
                Block(
                    f"[{number}] against [1]",
                    lines=[f"no phase in common: [1] has {own}, [{number}] has {other}"],
                )
            )
    return blocks


def _sides(profiles: list[Profile]) -> Block:
    lines = []
    for number, one in enumerate(profiles, 1):
        told = "; ".join(
            f"{len(phase.steps)} {phase.phase} steps"
            + (f", {layers_line(phase.layers)}" if phase.layers else "")
            for phase in one.phases
        )
        graph = f", {one.totals.by_graph / one.totals.calls:.0%} by graphs" if one.device != "host" else ""
        lines.append(
            f"[{number}] {one.trace}: rank {'-' if one.rank is None else one.rank}, {one.device}{graph}; {told}"
        )
        lines += [f"[{number}] note: {remark}" for remark in one.remarks]
    return Block("Traces", lines=lines)


def _columns(number: int, *names: str) -> list[tuple[str, str]]:
    figures = ("[1]", f"[{number}]", "difference", "share of differences")
    return [*((name, "left") for name in names), *((name, "right") for name in figures)]


def _row(one: Difference, *, named: bool = False) -> list[str]:
    figures = [ms(one.base_ms), ms(one.head_ms), f"{one.ms:+,.3f}", f"{one.share:.1%}"]
    return [short(one.name), one.family, *figures] if named else [one.name, *figures]


def _sum(one: Comparison) -> str:
    return (
        f"all kernels: {ms(one.base_kernel_ms)} to {ms(one.head_kernel_ms)} ({one.head_kernel_ms - one.base_kernel_ms:+,.3f}); "
        f"step: {ms(one.base_ms)} to {ms(one.head_ms)} ({one.head_ms - one.base_ms:+,.3f})"
    )


def _rest(one: Comparison, top: int) -> list[str]:
    left = [d for d in one.kernels[top:] if d.ms]
    return [f"{len(left)} more names, {sum(d.ms for d in left):+,.3f} ms: --top N"] if left else []
