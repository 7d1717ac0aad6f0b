"""Whether layers compute the same beside other work on the GPU, to the last bit.

Several layers, each with routes of its own, run in a graph and without one. Their memory held NaN before, and what stands between
them begins early and lets the next begin early, as norms of a server do. Meanwhile a second stream computes, and a thread asks the
marker for its counters by the way that a node takes. Routes change from step to step, and nothing waits in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from . import bench_cases, bench_check, marker, reference, steps, tiles
from .bench_company import asking, working
from .routing import COUNTED, Routing

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS = 6
TOKENS = (3, 16, 56, 216)
KINDS = ("random", "ids outside of the map", "all remote", "all local")
"""Of routes. Layers and steps take them in turns."""
IN_A_ROW = 8
"""Steps that nothing waits between, one half by the graph and the other without it."""


@dataclass(frozen=True)
class Found:
    """Of one variant and number of tokens."""

    what: str
    steps: int
    """Of all layers, beside the other work."""
    differing: int
    """How many of them had a layer whose output was not the quiet run's."""
    reads: int
    """Answers of the marker meanwhile."""
    turns: int
    """Of the second stream's work meanwhile."""
    counted: bool
    """Whether each layer counted every step, with its routes, experts and blocks."""
    sound: bool
    """Whether the quiet run's outputs are numbers, and differ from routes to routes."""

    @property
    def passed(self) -> bool:
        """Beside other work, and as without it."""
        return bool(
            self.steps and self.reads and self.turns and self.counted and self.sound and not self.differing
        )


def beside(of: bench_cases.Layer, known: dict[str, tiles.Tiles], seconds: float) -> Iterator[Found]:
    """Each variant at each number of tokens, for so long all together."""
    each = seconds / len(known) / len(TOKENS)
    for variant, one in known.items():
        for tile in one.tiles:
            bench_check.must_fit(tile, of.shape)
        steps.warm(one.arch, variant, of.of(variant), of.expert_map)
        for tokens in TOKENS:
            yield _one(of, one, variant, tokens, each)


def _one(of: bench_cases.Layer, known: tiles.Tiles, variant: str, tokens: int, seconds: float) -> Found:
    mine = marker.Marker()
    layers = Layers(of, known, variant, tokens, mine)
    quiet = [layers.replayed(turn).clone() for turn in range(len(KINDS))]
    torch.cuda.synchronize()
    before, differing, end = layers.steps, 0, time.monotonic() + seconds
    with asking(mine) as answers, working() as turns:
        while not (answers.failed or turns.failed) and (
            time.monotonic() < end or not answers.done or not turns.done
        ):
            made = []
            for step in range(layers.steps, layers.steps + IN_A_ROW):
                turn = step % len(KINDS)
                run = layers.launched if step // len(KINDS) % 2 else layers.replayed
                made.append((turn, run(turn).clone()))
            torch.cuda.current_stream().synchronize()
            differing += sum(not same(out, quiet[turn]) for turn, out in made)
    torch.cuda.synchronize()
    return Found(
        f"{variant}, {tokens} tokens, {LAYERS} layers",
        layers.steps - before,
        differing,
        answers.done,
        turns.done,
        layers.counted(),
        sound(quiet),
    )


class Layers:
    """Some layers one after the other, each on what the one before made of its tokens."""

    def __init__(
        self, of: bench_cases.Layer, known: tiles.Tiles, variant: str, tokens: int, mine: marker.Marker
    ) -> None:
        """Run once, then capture."""
        self.arch, self.variant, self.tokens = known.arch, variant, tokens
        self.weights, self.shape = of.of(variant), of.shape
        drawn = torch.Generator().manual_seed(tokens)
        self.x = (torch.randn(tokens, of.shape.hidden, generator=drawn) * 0.5).bfloat16().cuda()
        self.rows = [mine.join(of.expert_map.device, None) for _ in range(LAYERS)]
        self.turns = [
            [
                bench_check.routes(KINDS[(turn + layer) % len(KINDS)], tokens, of, layer)
                for layer in range(LAYERS)
            ]
            for turn in range(len(KINDS))
        ]
        self.used = [Routing(torch.clone(w), torch.clone(ids), of_map) for w, ids, of_map in self.turns[0]]
        tile = known.of(steps.alike(tokens, of.shape.top_k, of.expert_map.numel()))
        height = None if tile.direct else tile.block_m
        self.adds = [
            torch.stack([reference.counted(one, height).cpu() for one in turn]) for turn in self.turns
        ]
        self.wanted = torch.zeros_like(self.adds[0])
        self.steps = 0
        self.launched(0)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = self._run()

    def replayed(self, turn: int) -> torch.Tensor:
        """Every layer's output on some routes, [layers, tokens, hidden], by the graph; nothing waits for it."""
        self._begin(turn)
        self.graph.replay()
        return self.out

    def launched(self, turn: int) -> torch.Tensor:
        """The same without the graph."""
        self._begin(turn)
        return self._run()

    def counted(self) -> bool:
        """Whether each layer counted what it was given, and nothing of another size."""
        found = torch.stack([row.taken(self.tokens) for row in self.rows]).cpu()
        of_all = torch.stack([row.counts[:, : len(COUNTED)].sum(dim=0) for row in self.rows]).cpu()
        return bool(torch.equal(found, self.wanted) and torch.equal(of_all, self.wanted))

    def _begin(self, turn: int) -> None:
        for used, given in zip(self.used, self.turns[turn], strict=True):
            used.weights.copy_(given.weights)
            used.ids.copy_(given.ids)
        self.wanted += self.adds[turn]
        self.steps += 1

    def _run(self) -> torch.Tensor:
        made, outs = self.x, []
        for layer, (row, routing) in enumerate(zip(self.rows, self.used, strict=True)):
            if layer % 2:  # else nothing stands between the norm and the layer
                self._poison()
            out = torch.empty_like(made)
            counter = row.taken(self.tokens)
            steps.compute(self.arch, self.variant, self.weights, made, routing, out=out, counter=counter)
            outs.append(out)
            made = norm(out, made, pdl=self.arch.startswith("sm"))
        return torch.stack(outs)

    def _poison(self) -> None:
        """Blocks of the sizes that a layer takes, full of NaN, given back to where it takes them from."""
        rows = self.shape.routes(self.tokens)
        sizes = [
            self.tokens * self.shape.hidden // 2, rows * self.shape.hidden, rows * self.shape.intermediate, 4096, 256,
        ]  # fmt: skip
        held = [torch.full((size,), float("nan"), device=self.x.device) for size in sizes for _ in range(2)]
        del held


def norm(x: torch.Tensor, residual: torch.Tensor, *, pdl: bool) -> torch.Tensor:
    """The sum of both, its rows divided by their root mean square, in BF16: what stands between two layers.

    Args:
        x: [tokens, hidden] BF16.
        residual: the same.
        pdl: begin before the launch before has ended, and let the next one begin before this has.
    """
    made = torch.empty_like(x)
    how = {"PDL": pdl, **({"launch_pdl": True} if pdl else {})}
    width = x.shape[1]
    _norm[(x.shape[0],)](x, residual, made, width, BLOCK=triton.next_power_of_2(width), num_warps=8, **how)
    return made


@triton.jit
def _norm(x, residual, out, width, BLOCK: tl.constexpr, PDL: tl.constexpr):  # noqa: ANN001, ANN202, N803, PLR0917 - Triton types them
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    column = tl.arange(0, BLOCK)
    inside = column < width
    here = tl.program_id(0) * width + column
    value = tl.load(x + here, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(residual + here, mask=inside, other=0.0).to(tl.float32)
    size = tl.sqrt(tl.sum(value * value) / width + 1e-6)
    tl.store(out + here, (value / size).to(out.dtype.element_ty), mask=inside)


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """To the last bit."""
    return bool(torch.equal(found.view(torch.int16), wanted.view(torch.int16)))


def sound(quiet: list[torch.Tensor]) -> bool:
    """Whether these are numbers, and no two alike."""
    numbers = all(bool(one.isfinite().all()) for one in quiet)
    return numbers and not any(
        same(one, other) for index, one in enumerate(quiet) for other in quiet[index + 1 :]
    )
