"""A step on a GPU: which tile it takes, and that none of them is compiled in the midst of a load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import layer, tiles
from .routing import COUNTED, Routing

if TYPE_CHECKING:
    from .tiles import Tile
    from .weights import Weights

TILED_FOR = (128, 4)
"""Experts, and how many of them a token chooses: of the layer that tiles were measured on."""
MOST = 512
"""Tokens with which a tile is compiled, at the most."""


def compute(
    arch: str,
    variant: str,
    weights: Weights,
    x: torch.Tensor,
    routing: Routing,
    *,
    out: torch.Tensor,
    counter: torch.Tensor,
) -> None:
    """A layer's local routes into `out`.

    Args:
        arch: whose tiles, such as gfx942.
        variant: whose tiles.
        weights: of the local experts.
        x: [tokens, hidden] BF16.
        routing: of the tokens.
        out: [tokens, hidden] BF16.
        counter: [4] int64, gets what `routing.COUNTED` says.
    """
    tile = tiles.load(arch, variant).of(alike(x.shape[0], weights.shape.top_k, routing.experts))
    with_tile(tile, arch, weights, x, routing, out=out, counter=counter)


def with_tile(
    tile: Tile,
    arch: str,
    weights: Weights,
    x: torch.Tensor,
    routing: Routing,
    *,
    out: torch.Tensor,
    counter: torch.Tensor,
) -> None:
    """The same with a tile that is given; NVIDIA's own instructions and early launches where `arch` has them."""
    on_nvidia = arch.startswith("sm")
    layer.forward(x, weights, routing, out, counter=counter, tile=tile, pdl=on_nvidia, ptx=on_nvidia)


def alike(tokens: int, top_k: int, experts: int) -> int:
    """Tokens of a layer with `TILED_FOR` that fill as many rows an expert: what tiles are chosen by."""
    of_experts, of_top_k = TILED_FOR
    return -(-tokens * top_k * of_experts // (experts * of_top_k))


_warm: set[tuple[str, str, bool]] = set()


def warm(arch: str, variant: str, weights: Weights, expert_map: torch.Tensor) -> None:
    """Compile every tile, once a process and form of weights.

    What is compiled depends on the tile alone. So few tokens will do for one that is meant for many.
    """
    form = (arch, variant, weights.wide)
    if form in _warm:
        return
    _warm.add(form)
    shape, device = weights.shape, expert_map.device
    counter = torch.zeros(len(COUNTED), dtype=torch.int64, device=device)
    for tile in tiles.load(arch, variant).tiles:
        of_experts, of_top_k = TILED_FOR
        fits = tile.tokens * expert_map.numel() * of_top_k // (shape.top_k * of_experts)
        tokens = max(1, min(fits, MOST))
        x = torch.zeros(tokens, shape.hidden, dtype=torch.bfloat16, device=device)
        routing = Routing(
            torch.zeros(tokens, shape.top_k, device=device),
            torch.zeros(tokens, shape.top_k, dtype=torch.int32, device=device),
            expert_map,
        )
        with_tile(tile, arch, weights, x, routing, out=torch.empty_like(x), counter=counter)
