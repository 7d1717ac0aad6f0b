"""Layers of a model, found in the order of a step's kernels: which of them have experts, and what the experts' path takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from utils.profile.figures import Kind, Layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utils.profile.columns import Floats, Ints
    from utils.profile.rules import Rules
    from utils.profile.work import Work

LEAST_REPEATS = 4
"""Of a name, to take it for a layer's where no rule knows one."""


@dataclass(frozen=True)
class Names:
    """What is known of each name of a trace."""

    name: list[str]
    family: list[str]
    is_expert: list[bool]
    divides: list[bool]
    """Between two kernels of which a layer is begun: a product, or experts. A layer may begin with several kernels."""

    @classmethod
    def of(cls, names: list[str], rules: Rules) -> Names:
        """By the rules."""
        family = [rules.family(name) for name in names]
        expert = [one in rules.experts for one in family]
        return cls(names, family, expert, [a or one == "gemm" for a, one in zip(expert, family, strict=True)])


@dataclass(frozen=True)
class _Step:
    """The layers of one step."""

    begins: Floats
    how: str
    spread: bool
    """Over all lanes; else they are the main lane's."""
    sparse: int
    expert_us: float
    expert_span_us: float


def find(steps: Sequence[Callable[[], Work]], main: int, names: Names, rules: Rules) -> Layers | None:
    """Layers of some steps of a kind; None if nothing repeats inside of a step.

    Args:
        steps: give the work of each, when it is its turn: all of it twice would be too much memory.
        main: the lane that does most.
        names: of the trace.
        rules: by which a layer's begin is known.
    """
    found = [_layers(work(), main, names, rules) for work in steps]
    counts = Counter((len(one.begins), one.sparse) for one in found if one is not None)
    if not counts:
        return None
    (layers, sparse), alike = counts.most_common(1)[0]
    usual = [
        (one, work)
        for one, work in zip(found, steps, strict=True)
        if one is not None and (len(one.begins), one.sparse) == (layers, sparse)
    ]
    middle, middle_work = usual[len(usual) // 2]
    return Layers(
        layers=layers,
        sparse=sparse,
        how=usual[0][0].how,
        expert_ms=fmean(one.expert_us for one, _ in usual) / 1000,
        expert_span_ms=fmean(one.expert_span_us for one, _ in usual) / 1000,
        kinds=_kinds(middle, middle_work(), main, names),
        alike=alike,
        steps=len(steps),
    )


def _layers(work: Work, main: int, names: Names, rules: Rules) -> _Step | None:
    rows = np.flatnonzero(work.table.lane == main)
    at, how = _begins(work.table.name[rows].tolist(), names, rules)
    spread = len(at) <= 1
    if spread:  # a graph that is cut between layers, as an engine may do, has lanes for each piece
        rows = np.arange(len(work.table.lane))
        at, how = _begins(work.table.name.tolist(), names, rules)
    if len(at) <= 1:
        return None
    begins = work.table.start[rows[at]]
    expert = np.array(names.is_expert)[work.table.name]
    layer = np.searchsorted(begins, work.table.start, side="right") - 1
    lanes = np.isin(work.table.lane, np.unique(work.table.lane[expert]))
    path = span = 0.0
    sparse = np.unique(layer[expert & (layer >= 0)])
    borders = np.searchsorted(layer, [sparse, sparse + 1]).T.tolist()
    for begin, end in borders:
        experts = begin + np.flatnonzero(expert[begin:end])
        first, last = int(experts[0]), int(experts[-1]) + 1
        inside = first + np.flatnonzero(lanes[first:last])
        path += float(work.own[inside].sum())
        span += float(work.table.end[inside].max() - work.table.start[inside[0]])
    return _Step(begins, how, spread, len(sparse), path, span)


def _begins(sequence: list[int], names: Names, rules: Rules) -> tuple[list[int], str]:
    """Where in a step's kernels each layer begins."""
    for family in rules.layer_begins:
        at: list[int] = []
        divided = True
        for position, name in enumerate(sequence):
            if names.family[name] == family:
                if divided:
                    at.append(position)
                divided = False
            elif names.divides[name]:
                divided = True
        if len(at) > 1:
            return at, f"one each time a kernel of the family `{family}` comes"
    return _repeats(sequence, names)


def _repeats(sequence: list[int], names: Names) -> tuple[list[int], str]:
    """By the number of times that most names come, where no rule knows a layer's begin."""
    counts = Counter(sequence)
    alike = Counter(count for count in counts.values() if count >= LEAST_REPEATS)
    if not alike:
        return [], ""
    usual = max(alike, key=lambda count: (alike[count], -count))
    anchor = next(name for name in sequence if counts[name] == usual)
    at = [position for position, name in enumerate(sequence) if name == anchor]
    return (
        at,
        f"one each time `{names.name[anchor][:60]}` comes, for no rule knows a kernel here that each layer has once",
    )


def _kinds(step: _Step, work: Work, main: int, names: Names) -> list[Kind]:
    """Layers by what they consist of, the most frequent first; the last layer is one of its own."""
    rows: Ints = np.flatnonzero((work.table.lane == main) | step.spread)
    starts = work.table.start[rows]
    borders = [*np.searchsorted(starts, step.begins).tolist(), len(rows)]
    kinds: dict[tuple[tuple[int, ...], bool], list[float]] = {}
    for number, (begin, end) in enumerate(pairwise(borders)):
        last = number == len(step.begins) - 1
        signature = tuple(sorted(work.table.name[rows[begin:end]].tolist()))
        until = float(work.table.end[rows[begin:end]].max()) if last else float(starts[end])
        kinds.setdefault((signature, last), []).append(until - float(starts[begin]))
    made = [
        Kind(
            len(times),
            len(signature),
            any(names.is_expert[name] for name in signature),
            last,
            median(times) / 1000,
        )
        for (signature, last), times in kinds.items()
    ]
    return sorted(made, key=lambda one: (one.last, -one.layers))
