"""From a trace to what a profile says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from utils.profile import idle, layers, steps, work
from utils.profile.figures import Family, Gap, Kernel, Phase, Profile, StepFigures, Totals
from utils.profile.rules import DECODE, MIXED, PREFILL, shipped
from utils.profile.trace import Bounds, read

if TYPE_CHECKING:
    from pathlib import Path

    from utils.profile.idle import Some, Usage
    from utils.profile.layers import Names
    from utils.profile.rules import Rules
    from utils.profile.steps import Steps
    from utils.profile.trace import Trace
    from utils.profile.work import Work

ORDER = (DECODE, PREFILL, MIXED)
GAPS_KEPT = 5


class Analysis:
    """A trace with its steps and its work, for what looks closer than a profile does."""

    def __init__(self, trace: Trace, rules: Rules) -> None:
        self.trace, self.rules = trace, rules
        self.work: Work = work.of(trace)
        self.steps: Steps = steps.find(trace, self.work, rules)
        self.names: Names = layers.Names.of(trace.names, rules)
        self.gaps = idle.Gaps(self.work)

    def profile(self) -> Profile:
        """What it says."""
        figures = self._figures()
        phases = dict.fromkeys([*ORDER, *(one.phase for one in figures)])
        found = [[one for one in figures if one.phase == name] for name in phases]
        meta = self.trace.meta
        distributed = meta.get("distributedInfo")
        world = distributed.get("world_size") if isinstance(distributed, dict) else None
        return Profile(
            trace=self.trace.path.name,
            rank=self.trace.rank,
            world_size=world if isinstance(world, int) else None,
            vllm=str(meta["vllm_version"]) if "vllm_version" in meta else None,
            device=self._device(),
            megabytes=self.trace.megabytes,
            events=self.trace.events,
            how=self.steps.how,
            phases=[self._phase(some) for some in found if some],
            totals=self._totals(),
            streams=self._streams(),
            remarks=list(self.trace.remarks),
        )

    def _device(self) -> str:
        if self.trace.on_host:
            return "host"
        known = self.trace.meta.get("deviceProperties")
        for one in known if isinstance(known, list) else []:
            if isinstance(one, dict) and str(one.get("id")) == self.work.device and "name" in one:
                return f"{self.work.device} ({one['name']})"
        return self.work.device

    def _figures(self) -> list[StepFigures]:
        begin = np.array([one.begin for one in self.steps.steps])
        end = np.array([one.end for one in self.steps.steps])
        used: Usage = idle.usage(self.gaps, begin, end)
        tells = not self.trace.on_host and not np.isnan(self.work.launched).all()
        return [
            StepFigures(
                number=one.number,
                phase=one.said.phase,
                requests=one.said.requests,
                tokens=one.said.tokens,
                ms=(one.end - one.begin) / 1000,
                busy_ms=float(used.busy[i]) / 1000,
                overlap_ms=float(used.overlap[i]) / 1000,
                idle_ms=(one.end - one.begin - float(used.busy[i])) / 1000,
                starved_ms=float(used.starved[i]) / 1000 if tells else None,
                queued_ms=float(used.queued[i]) / 1000 if tells else None,
                has_next=one.has_next,
            )
            for i, one in enumerate(self.steps.steps)
        ]

    def _phase(self, some: list[StepFigures]) -> Phase:
        kernels = self._kernels(some)
        return Phase(
            phase=some[0].phase,
            steps=some,
            kernels=kernels,
            families=_families(kernels),
            layers=layers.find(
                [partial(self._of_step, one.number - 1) for one in some],
                self.steps.main,
                self.names,
                self.rules,
            ),
            gaps=self._gaps(some),
        )

    def _of_step(self, index: int) -> Work:
        return self.work.pick(self.steps.rows(index))

    def _kernels(self, some: list[StepFigures]) -> list[Kernel]:
        calls, took = np.zeros(len(self.trace.names)), np.zeros(len(self.trace.names))
        for one in some:
            rows = self.steps.rows(one.number - 1)
            names, counts = np.unique(self.work.table.name[rows], return_inverse=True)
            calls[names] += np.bincount(counts)
            took[names] += np.bincount(counts, weights=self.work.own[rows]) / 1000
        made = [
            Kernel(
                self.names.name[one],
                self.names.family[one],
                float(calls[one]) / len(some),
                float(took[one]) / len(some),
            )
            for one in np.flatnonzero(calls).tolist()
        ]
        return sorted(made, key=lambda one: (-one.ms, one.name))

    def _gaps(self, some: list[StepFigures]) -> list[Gap]:
        begins, ends = (
            np.array([getattr(one, side) for one in self.steps.steps]) for side in ("begin", "end")
        )
        phase = np.zeros(len(begins), dtype=bool)
        phase[[one.number - 1 for one in some]] = True
        longest: list[tuple[float, int, int, Some]] = []
        for gaps in self.gaps.parts():
            step = np.searchsorted(begins, gaps.start, side="right") - 1
            length = gaps.end - gaps.start
            rows = np.flatnonzero((step >= 0) & phase[step] & (gaps.end <= ends[step]))
            rows = rows[np.argsort(-length[rows], kind="stable")][:GAPS_KEPT]
            longest += [
                (-float(length[row]), int(gaps.before[row]), int(step[row]), gaps.pick(np.array([row])))
                for row in rows.tolist()
            ]
            longest = sorted(longest, key=lambda one: one[:2])[:GAPS_KEPT]
        return [self._gap(one, before, step, float(begins[step])) for _, before, step, one in longest]

    def _gap(self, one: Some, before: int, step: int, begin: float) -> Gap:
        starved, names = float(one.starved[0]), self.work.table.name
        return Gap(
            step=step + 1,
            at_ms=float(one.start[0] - begin) / 1000,
            ms=float(one.end[0] - one.start[0]) / 1000,
            starved_ms=None if np.isnan(starved) else starved / 1000,
            after=self.names.name[names[self.gaps.after(before)]],
            before=self.names.name[names[before]],
        )

    def _totals(self) -> Totals:
        outside = self.steps.owner == steps.OUTSIDE
        return Totals(
            own_ms=float(self.work.own.sum()) / 1000,
            annotations_ms=self.work.annotations_us / 1000,
            outside_ms=float(self.work.own[outside].sum()) / 1000,
            calls=len(self.work),
            by_graph=int(self.work.by_graph.sum()),
        )

    def _streams(self) -> dict[str, float]:
        found: dict[str, float] = {}
        did = self.work.lanes_us(len(self.trace.lanes))
        for lane in np.unique(self.work.table.lane).tolist():
            name = self.trace.lanes[lane][1]
            found[name] = found.get(name, 0.0) + float(did[lane]) / 1000
        return found


def _families(kernels: list[Kernel]) -> list[Family]:
    total = sum(one.ms for one in kernels) or 1.0
    made = []
    for family in dict.fromkeys(one.family for one in kernels):
        some = [one for one in kernels if one.family == family]
        ms = sum(one.ms for one in some)
        made.append(Family(family, len(some), sum(one.calls for one in some), ms, ms / total))
    return sorted(made, key=lambda one: (-one.ms, one.family))


def analysis(path: Path, *, rank: int | None = None, bounds: Bounds) -> Analysis:
    """Read a trace, or the one that a folder means, and find its steps."""
    return Analysis(read(path, rank=rank, bounds=bounds), shipped())
