"""What the benchmark runs on: a layer of full size with random weights, several routings, and the bytes that it must read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import reference
from .routing import Routing
from .shapes import GROUP, Shape
from .weights import Weights

GLOBAL_EXPERTS = 128
SETS = 6
"""Routings that take turns, so that no replay finds the last one's weights in a cache."""


@dataclass(frozen=True)
class Layer:
    """Both forms of the same weights."""

    shape: Shape
    bf16: Weights
    mxfp8: Weights
    expert_map: torch.Tensor

    def of(self, variant: str) -> Weights:
        """The weights that a variant reads."""
        return self.mxfp8 if variant == "mxfp8" else self.bf16

    def bytes(self, experts: int, variant: str) -> float:
        """Of the weights of so many experts."""
        values = 3 * self.shape.hidden * self.shape.intermediate
        return experts * values * (1 + 1 / GROUP if variant == "mxfp8" else 2)


def layer(shape: Shape, device: str, seed: int = 0, experts: int = GLOBAL_EXPERTS) -> Layer:
    """Random weights of the size that trained ones have; `experts` are all of the layer, on every rank."""
    generator = torch.Generator(device=device).manual_seed(seed)

    def values(*size: int) -> torch.Tensor:
        drawn = torch.randn(*size, generator=generator, device=device) * 32
        return drawn.clamp(-440, 440).to(torch.float8_e4m3fn).view(torch.uint8)

    def scales(n: int, k: int) -> torch.Tensor:
        size = (shape.experts, n, k // GROUP)
        return torch.randint(115, 119, size, generator=generator, device=device, dtype=torch.uint8)

    w1 = torch.stack([values(2 * shape.intermediate, shape.hidden) for _ in range(shape.experts)])
    w2 = torch.stack([values(shape.hidden, shape.intermediate) for _ in range(shape.experts)])
    s1, s2 = scales(2 * shape.intermediate, shape.hidden), scales(shape.hidden, shape.intermediate)
    expert_map = torch.full((experts,), -1, dtype=torch.int32, device=device)
    expert_map[: shape.experts] = torch.arange(shape.experts, dtype=torch.int32, device=device)
    wide = [
        torch.stack([reference.widen(w, s) for w, s in zip(values, scales, strict=True)])
        for values, scales in ((w1, s1), (w2, s2))
    ]
    compressed = Weights.compressed(shape, w1, s1, w2, s2)
    return Layer(shape, Weights(shape, *wide), compressed, expert_map)


@dataclass(frozen=True)
class Steps:
    """Some steps of so many tokens."""

    x: torch.Tensor
    routings: list[Routing]
    active: float
    """Local experts that a step uses, in the mean."""


def steps(of: Layer, tokens: int, seed: int = 0) -> Steps:
    """Random routes; with one token, exactly one of them is local."""
    generator = torch.Generator().manual_seed(1000 * seed + tokens)
    device = of.expert_map.device
    routings, active = [], 0
    for _ in range(SETS):
        ids = (
            torch.rand(tokens, of.expert_map.numel(), generator=generator).topk(of.shape.top_k, dim=1).indices
        )
        if tokens == 1:
            ids = torch.arange(of.shape.experts, of.shape.experts + of.shape.top_k)[None, :].clone()
            ids[0, 0] = torch.randint(of.shape.experts, (), generator=generator)
        active += len(ids[ids < of.shape.experts].unique())
        share = torch.rand(tokens, of.shape.top_k, generator=generator).to(device)
        routings.append(Routing(share, ids.int().contiguous().to(device), of.expert_map))
    x = (torch.randn(tokens, of.shape.hidden, generator=generator) * 0.5).bfloat16().to(device)
    return Steps(x, routings, active / SETS)
