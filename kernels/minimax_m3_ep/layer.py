"""One layer on a GPU: five launches, or four for a handful of tokens. No host synchronisation, no size that depends on data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton

from .activation import combine, swiglu
from .align import compact
from .gemm import grouped
from .weights import together_of

if TYPE_CHECKING:
    from .routing import Routing
    from .tiles import Gemm, Tile
    from .weights import Weights

CHUNK = 4096
"""Routes that `compact` looks at together."""


def forward(
    x: torch.Tensor,
    weights: Weights,
    routing: Routing,
    out: torch.Tensor,
    *,
    counter: torch.Tensor,
    tile: Tile,
    pdl: bool,
    ptx: bool,
    emulate: bool = False,
) -> None:
    """Compute a layer's local routes into `out`.

    Args:
        x: [tokens, hidden] BF16, rows contiguous.
        weights: of the local experts.
        routing: of the tokens.
        out: [tokens, hidden] BF16.
        counter: [1] int64, goes up by one a call, on the device.
        tile: for that many tokens.
        pdl: let a launch begin while the one before still runs (NVIDIA, from Hopper on).
        ptx: widen with NVIDIA's instructions.
        emulate: for Triton's interpreter.
    """
    topk_weights, topk_ids, expert_map = routing
    tokens, shape = x.shape[0], weights.shape
    if tokens == 0:
        return
    device = x.device
    routes = shape.routes(tokens)
    blocks = routes if tile.direct else shape.blocks(tokens, tile.block_m)
    height = routes if tile.direct else blocks * tile.block_m
    first, second = tile.first, tile.second
    h = _parts(first, height, 2 * shape.intermediate, device)
    a = torch.empty(height, shape.intermediate, dtype=torch.bfloat16, device=device)
    y = _parts(second, routes, shape.hidden, device)
    more = {"launch_pdl": True} if pdl else {}
    if tile.direct:  # where the sorted blocks' tables are, these read the routes themselves
        rows, block_expert, block_rows, count = topk_ids, expert_map, expert_map, expert_map
    else:
        table = torch.empty(height + 2 * blocks + 1, dtype=torch.int32, device=device)
        rows, block_expert, block_rows, count = table.split([height, blocks, blocks, 1])
        most = triton.next_power_of_2(
            shape.routes(tile.tokens)
        )  # the tile's, not the step's: one compilation a tile
        chunk = min(CHUNK, max(16, most))
        compact[(shape.experts,)](
            topk_ids,
            expert_map,
            rows,
            block_expert,
            block_rows,
            count,
            routes,
            triton.cdiv(routes, chunk),
            BLOCK_M=tile.block_m,
            CHUNK=chunk,
            ONE=chunk == most,
            EXPERTS=triton.next_power_of_2(shape.experts),
            PDL=pdl,
            num_warps=4 if chunk == most else 16,
            **more,
        )

    def product(x: torch.Tensor, out: torch.Tensor, gemm: Gemm, *, is_first: bool) -> None:
        w, s = (weights.w1, weights.s1) if is_first else (weights.w2, weights.s2)
        _, n, k = w.shape
        grouped[(blocks * (n // gemm.block_n) * gemm.split,)](
            x,
            w,
            w if s is None else s,
            out,
            rows,
            block_expert,
            block_rows,
            count,
            topk_weights,
            n,
            k,
            x.stride(0),
            w.stride(0),
            w.stride(1),
            out.stride(1),
            out.stride(0),
            shape.top_k,
            FIRST=is_first,
            DIRECT=tile.direct,
            MXFP8=s is not None,
            WIDE=weights.wide,
            PTX=ptx,
            SWAP=gemm.swap,
            BLOCK_M=tile.block_m,
            BLOCK_N=gemm.block_n,
            BLOCK_K=gemm.block_k,
            STEPS=k // gemm.block_k // gemm.split,
            SPLIT=gemm.split,
            SCALES=together_of(k),
            STAGES=gemm.stages,
            PDL=pdl,
            EMULATE=emulate,
            num_warps=gemm.warps,
            num_stages=gemm.stages,
            **more,
        )

    product(x, h, first, is_first=True)
    high = 1 if tile.direct else min(tile.swiglu_rows, tile.block_m)
    swiglu[(shape.intermediate // tile.swiglu_columns, blocks, 1 if tile.direct else tile.block_m // high)](
        h,
        a,
        rows,
        block_expert,
        block_rows,
        count,
        shape.intermediate,
        h.stride(0),
        shape.alpha,
        shape.beta,
        shape.limit,
        DIRECT=tile.direct,
        BLOCK_M=tile.block_m,
        ROWS=high,
        COLUMNS=tile.swiglu_columns,
        SPLIT=first.split,
        PDL=pdl,
        EMULATE=emulate,
        num_warps=4,
        **more,
    )
    product(a, y, second, is_first=False)
    combine[(tokens, shape.hidden // tile.combine_columns)](
        y,
        topk_ids,
        expert_map,
        out,
        counter,
        shape.hidden,
        y.stride(0),
        out.stride(0),
        TOP_K=shape.top_k,
        COLUMNS=tile.combine_columns,
        SPLIT=second.split,
        PDL=pdl,
        EMULATE=emulate,
        num_warps=4,
        **more,
    )


def _parts(gemm: Gemm, height: int, width: int, device: torch.device) -> torch.Tensor:
    """[split, height, width]: BF16, or float32 where parts of K are summed later."""
    dtype = torch.bfloat16 if gemm.split == 1 else torch.float32
    return torch.empty(gemm.split, height, width, dtype=dtype, device=device)
