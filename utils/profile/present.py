"""A profile as lines and tables, in text or Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from utils.profile.rules import UNKNOWN
from utils.show import markdown, tables
from utils.show.log import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from utils.profile.figures import Family, Gap, Layers, Phase, Profile

NAME_WIDTH = 72
STREAMS = 6
"""Of a trace that are named; a graph that is cut between layers has two or three a piece."""
OPEN = "to look at it: open ui.perfetto.dev in a browser and drop the file there; it is read in the browser and goes nowhere"


@dataclass(frozen=True, slots=True)
class Block:
    """A table with its title, or lines below one."""

    title: str
    columns: Sequence[tuple[str, str]] = ()
    rows: Sequence[Sequence[str]] = ()
    lines: Sequence[str] = ()


def text(blocks: Iterable[Block]) -> str:
    """For a terminal."""
    parts = []
    for one in blocks:
        table = (
            tables.aligned(one.columns, [[clean(cell) for cell in row] for row in one.rows])
            if one.rows
            else ""
        )
        title = f"{clean(one.title)}\n" if one.title else ""
        parts.append(title + table + "".join(f"{clean(line)}\n" for line in one.lines))
    return "\n".join(parts)


def as_markdown(blocks: Iterable[Block]) -> str:
    """For a comment or a page."""
    parts = []
    for one in blocks:
        title = f"**{markdown.escape(one.title)}**\n\n" if one.title else ""
        table = markdown.table([name for name, _ in one.columns], one.rows) if one.rows else ""
        lines = "".join(f"- {markdown.escape(line)}\n" for line in one.lines)
        parts.append(title + table + ("\n" if table and lines else "") + lines)
    return "\n".join(parts)


def profile(one: Profile, top: int, more: Sequence[str] = ()) -> list[Block]:
    """All that a profile says.

    Args:
        one: the profile.
        top: how many kernels of a phase are listed; unknown ones always are.
        more: lines to say besides, such as the marker's.
    """
    blocks = [Block(one.trace, lines=[*_about(one), *more]), _steps(one)]
    for phase in one.phases:
        blocks.append(_families(phase))
        blocks.append(_kernels(phase, top))
        if phase.gaps:
            blocks.append(
                Block(f"{phase.phase}: longest gaps", GAP_COLUMNS, [_gap(gap) for gap in phase.gaps])
            )
    return [*blocks, Block("", lines=[OPEN])]


def ms(value: float | None) -> str:
    """Milliseconds to the microsecond."""
    return "-" if value is None else f"{value:,.3f}"


def short(name: str) -> str:
    """A name that fits into a table: template arguments make some a thousand letters long."""
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"


def _about(one: Profile) -> list[str]:
    of = f" of {one.world_size}" if one.world_size else ""
    rank = "rank unknown" if one.rank is None else f"rank {one.rank}{of}"
    engine = f", {one.engine}" if one.engine else ""
    device = "no GPU: operators of the host" if one.device == "host" else f"device {one.device}"
    totals = one.totals
    sums = f"whole trace: {ms(totals.own_ms)} ms in {totals.calls:,} "
    if one.device == "host":
        both = ms(totals.own_ms + totals.annotations_ms)
        sums += f"operators, each without what it called; {both} ms with the annotations' own time, as torch's key_averages adds it up"
    else:
        graph = f"{totals.by_graph / totals.calls:.0%} of them launched by graphs" if totals.calls else ""
        sums += f"kernels and copies, without annotations, as torch's key_averages adds them up; {graph}"
    lines = [
        f"{rank}{engine}, {device}, {one.megabytes:,.1f} MB, {one.events:,} events",
        f"steps: {one.how}",
        sums,
    ]
    if totals.outside_ms:
        lines.append(f"outside of steps: {ms(totals.outside_ms)} ms")
    if len(one.streams) > 1:
        busiest = sorted(one.streams.items(), key=lambda item: -item[1])
        rest = busiest[STREAMS:]
        more = f", {len(rest)} more: {ms(sum(value for _, value in rest))} ms" if rest else ""
        lines.append(
            "streams: " + ", ".join(f"{name}: {ms(value)} ms" for name, value in busiest[:STREAMS]) + more
        )
    lines += [f"note: {remark}" for remark in one.remarks]
    return lines


STEP_COLUMNS = [
    ("phase", "left"),
    *((name, "right") for name in ("steps", "requests", "tokens", "ms a step", "median", "busy", "overlap")),
    *((name, "right") for name in ("idle", "host-starved", "queued", "kernels")),
]


def _steps(one: Profile) -> Block:
    rows = [_phase(phase) for phase in one.phases]
    lines = [
        f"{phase.phase}: {layers_line(phase.layers)}"
        if phase.layers
        else f"{phase.phase}: no layers found, for no name comes back within a step"
        for phase in one.phases
    ]
    kinds = [f"{phase.phase}: {_kinds(phase.layers)}" for phase in one.phases if phase.layers]
    return Block("Mean step, ms", STEP_COLUMNS, rows, lines + kinds)


def _phase(phase: Phase) -> list[str]:
    steps = phase.steps
    return [
        phase.phase,
        str(len(steps)),
        _count([one.requests for one in steps]),
        _count([one.tokens for one in steps]),
        ms(fmean(one.ms for one in steps)),
        ms(median(one.ms for one in steps)),
        ms(fmean(one.busy_ms for one in steps)),
        ms(fmean(one.overlap_ms for one in steps)),
        ms(fmean(one.idle_ms for one in steps)),
        ms(_mean([one.starved_ms for one in steps])),
        ms(_mean([one.queued_ms for one in steps])),
        ms(phase.kernel_ms),
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _count(values: Sequence[int | None]) -> str:
    found = _mean(values)
    return "-" if found is None else f"{found:,.1f}".removesuffix(".0")


def layers_line(found: Layers) -> str:
    """Layers in one line, such as `57 sparse layers, expert path 28.06 ms; 3 dense layers`."""
    parts = []
    if found.sparse:
        each = 1000 * found.expert_ms / found.sparse
        parts.append(
            f"{found.sparse} sparse layers, expert path {found.expert_ms:.2f} ms ({each:,.1f} us a layer; "
            f"{found.expert_span_ms:.2f} ms from begin to end)"
        )
    if dense := found.layers - found.sparse:
        parts.append(f"{dense} dense layers")
    if found.alike < found.steps:
        parts.append(f"so in {found.alike} of {found.steps} steps; the others have another number")
    return "; ".join(parts)


def _kinds(found: Layers) -> str:
    told = [
        f"{kind.layers} of {kind.kernels} kernels{' with experts' if kind.sparse else ''} ({ms(kind.ms)} ms"
        f"{', the last, with what follows it' if kind.last else ''})"
        for kind in found.kinds[:8]
    ]
    more = f", {len(found.kinds) - 8} more kinds" if len(found.kinds) > 8 else ""  # noqa: PLR2004 - as above
    return f"layers by their kernels: {', '.join(told)}{more}; {found.how}"


FAMILY_COLUMNS = [
    ("family", "left"),
    *((name, "right") for name in ("ms a step", "share", "calls a step", "names")),
]


def _families(phase: Phase) -> Block:
    return Block(f"{phase.phase}: families", FAMILY_COLUMNS, [_family(one) for one in phase.families])


def _family(one: Family) -> list[str]:
    return [one.family, ms(one.ms), f"{one.share:.1%}", f"{one.calls:,.1f}", str(one.kernels)]


KERNEL_COLUMNS = [
    ("kernel", "left"),
    ("family", "left"),
    *((name, "right") for name in ("ms a step", "share", "calls a step", "us a call")),
]


def _kernels(phase: Phase, top: int) -> Block:
    total = phase.kernel_ms or 1.0
    shown = phase.kernels[:top]
    unknown = [one for one in phase.kernels[top:] if one.family == UNKNOWN]
    rows = [
        [
            short(one.name),
            one.family,
            ms(one.ms),
            f"{one.ms / total:.1%}",
            f"{one.calls:,.1f}",
            f"{1000 * one.ms / one.calls:,.1f}",
        ]
        for one in [*shown, *unknown]
    ]
    rest = phase.kernels[top:]
    left = len(rest) - len(unknown)
    cut = [
        f"{left} more names of known families, {ms(sum(one.ms for one in rest if one.family != UNKNOWN))} ms: --top N"
    ]
    return Block(f"{phase.phase}: kernels", KERNEL_COLUMNS, rows, cut if left else [])


GAP_COLUMNS = [
    ("step", "right"),
    *((name, "right") for name in ("at ms", "ms", "host-starved")),
    ("after", "left"),
    ("before", "left"),
]


def _gap(gap: Gap) -> list[str]:
    return [str(gap.step), ms(gap.at_ms), ms(gap.ms), ms(gap.starved_ms), short(gap.after), short(gap.before)]
