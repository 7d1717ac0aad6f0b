"""Layers of small shapes with random weights, and routings of every kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from kernels.minimax_m3_ep import layer, reference
from kernels.minimax_m3_ep.routing import COUNTED, Routing
from kernels.minimax_m3_ep.shapes import GROUP, Shape
from kernels.minimax_m3_ep.tiles import Gemm, Tile
from kernels.minimax_m3_ep.weights import Weights

SMALL = Shape(experts=4, hidden=64, intermediate=128, top_k=4)
GLOBAL = 16
OUTSIDE = (-1, GLOBAL, 2**31 - 1, -(2**31), 0x40000005)
"""Ids that no map has; rows that only pad a captured graph may hold them."""
TILES = {
    "plain": Tile(1 << 20, 16, Gemm(32, 32, 4, 2), Gemm(16, 64, 4, 2), swiglu_columns=64, combine_columns=64),
    "swapped": Tile(
        1 << 20,
        16,
        Gemm(32, 64, 4, 3, swap=True),
        Gemm(64, 32, 4, 2, swap=True),
        swiglu_columns=128,
        combine_columns=32,
    ),
    "split": Tile(
        1 << 20,
        16,
        Gemm(32, 32, 4, 2, split=2),
        Gemm(32, 32, 4, 2, split=4),
        swiglu_columns=64,
        combine_columns=64,
    ),
    "high": Tile(1 << 20, 64, Gemm(32, 32, 4, 2), Gemm(32, 32, 4, 2), swiglu_columns=64, combine_columns=64),
    "direct": Tile(1 << 20, 16, Gemm(4, 32, 4, 2), Gemm(8, 64, 4, 2), direct=True),
    "fused": Tile(1 << 20, 16, Gemm(64, 32, 4, 2), Gemm(32, 32, 4, 2), fused=True, combine_columns=64),
    "fused, swapped": Tile(
        1 << 20,
        16,
        Gemm(64, 32, 4, 2, swap=True),
        Gemm(32, 32, 4, 2, swap=True),
        fused=True,
        combine_columns=64,
    ),
}


@dataclass
class Case:
    """Inputs of a layer."""

    shape: Shape
    x: torch.Tensor
    routing: Routing
    bf16: Weights
    mxfp8: Weights

    def expected(self, *, exact: bool = True) -> torch.Tensor:
        """By the reference."""
        return reference.layer(self.x, self.bf16.w1, self.bf16.w2, self.routing, self.shape, exact=exact)

    def run(self, weights: Weights, tile: Tile) -> tuple[torch.Tensor, list[int]]:
        """By the kernels, into a poisoned output; with what they counted (`routing.COUNTED`)."""
        out = torch.full_like(self.x, float("nan"))
        counter = torch.zeros(len(COUNTED), dtype=torch.int64)
        how = {"pdl": False, "ptx": False, "emulate": True}
        layer.forward(self.x, weights, self.routing, out, counter=counter, tile=tile, **how)
        return out, counter.tolist()


def error(out: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, over the whole output; NaN where anything was left unwritten."""
    size = float(expected.double().norm())
    return float((out.double() - expected.double()).norm()) / (size or 1.0)


def e4m3(generator: torch.Generator, *size: int) -> torch.Tensor:
    """Random bytes of which none is NaN."""
    return (
        (torch.randn(*size, generator=generator) * 30)
        .clamp(-440, 440)
        .to(torch.float8_e4m3fn)
        .view(torch.uint8)
    )


def routes(kind: str, tokens: int, generator: torch.Generator, shape: Shape) -> torch.Tensor:
    """Global experts of each token; 4 … 7 are local."""
    if kind == "random":
        return torch.rand(tokens, GLOBAL, generator=generator).topk(shape.top_k, dim=1).indices.int()
    if kind == "remote":
        return torch.randint(8, GLOBAL, (tokens, shape.top_k), generator=generator, dtype=torch.int32)
    if kind == "one":
        return torch.full((tokens, shape.top_k), 6, dtype=torch.int32)
    if kind == "local":
        return torch.randint(4, 8, (tokens, shape.top_k), generator=generator, dtype=torch.int32)
    if kind == "outside":
        ids = torch.randint(4, GLOBAL, (tokens, shape.top_k), generator=generator, dtype=torch.int32)
        strange = torch.tensor(OUTSIDE)[torch.randint(len(OUTSIDE), ids.shape, generator=generator)]
        return torch.where(torch.rand(ids.shape, generator=generator) < 0.5, strange, ids).int()
    assert kind == "none-on-some"
    return torch.tensor([5, 9, 5, 4], dtype=torch.int32).repeat(tokens, 1)


def make(
    tokens: int, *, kind: str = "random", seed: int = 0, pad: int = 0, shape: Shape = SMALL, large: int = 0
) -> Case:
    """A case; `pad` columns of poison stand behind each row of the weights, `large` is one scale byte of each expert's products."""
    generator = torch.Generator().manual_seed(seed)
    expert_map = torch.full((GLOBAL,), -1, dtype=torch.int32)
    expert_map[4 : 4 + shape.experts] = torch.arange(shape.experts, dtype=torch.int32)
    w1, w2 = (
        e4m3(generator, shape.experts, 2 * shape.intermediate, shape.hidden),
        e4m3(generator, shape.experts, shape.hidden, shape.intermediate),
    )
    s1 = torch.randint(
        116, 122, (*w1.shape[:2], shape.hidden // GROUP), generator=generator, dtype=torch.uint8
    )
    s2 = torch.randint(
        116, 122, (*w2.shape[:2], shape.intermediate // GROUP), generator=generator, dtype=torch.uint8
    )
    if large:
        s1[:, 3, 1], s2[:, 5, 2] = large, large
    compressed = Weights.compressed(shape, w1, s1, w2, s2)
    return Case(
        shape,
        torch.randn(tokens, shape.hidden, generator=generator).bfloat16(),
        Routing(
            torch.rand(tokens, shape.top_k, generator=generator),
            routes(kind, tokens, generator, shape),
            expert_map,
        ),
        Weights(shape, _padded(reference.widen(w1, s1), pad), _padded(reference.widen(w2, s2), pad)),
        replace(compressed, w1=_padded(compressed.w1, pad), w2=_padded(compressed.w2, pad)),
    )


def _padded(weights: torch.Tensor, pad: int) -> torch.Tensor:
    """The same values in rows that are longer, as ROCm pads them."""
    poison = 255 if weights.dtype == torch.uint8 else float("nan")
    held = torch.full((*weights.shape[:-1], weights.shape[-1] + pad), poison, dtype=weights.dtype)
    held[..., : weights.shape[-1]] = weights
    return held[..., : weights.shape[-1]]
