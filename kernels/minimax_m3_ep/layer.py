"""One layer on a GPU: five launches, or two for a handful of tokens. No host synchronisation, no size that depends on data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton

from .activation import combine, swiglu
from .align import compact
from .few import down_sum, gate_up
from .gemm import grouped
from .weights import together_of

if TYPE_CHECKING:
    from .routing import Routing
    from .shapes import Shape
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
        counter: [4] int64, `routing.COUNTED` of this call is added to it, on the device.
        tile: for that many tokens.
        pdl: let a launch begin while the one before still runs (NVIDIA, from Hopper on).
        ptx: widen with NVIDIA's instructions.
        emulate: for Triton's interpreter.
    """
    if x.shape[0] == 0:
        return
    how: dict[str, Any] = {"PDL": pdl, "EMULATE": emulate, **({"launch_pdl": True} if pdl else {})}
    compute = _few if tile.direct else _sorted
    compute(x, weights, routing, out, counter=counter, tile=tile, ptx=ptx, how=how)


def sort_constants(shape: Shape, tile: Tile) -> dict[str, Any]:
    """What `compact` is compiled with: by the most tokens of the tile, not by the step's, so that a tile is compiled once."""
    most = max(16, triton.next_power_of_2(shape.routes(tile.tokens)))
    chunk = min(CHUNK, most)
    return {
        "BLOCK_M": tile.block_m,
        "CHUNK": chunk,
        "ONE": chunk == most,
        "EXPERTS": triton.next_power_of_2(shape.experts),
        "num_warps": 4 if chunk == most else 16,
    }


def _few(
    x: torch.Tensor,
    weights: Weights,
    routing: Routing,
    out: torch.Tensor,
    *,
    counter: torch.Tensor,
    tile: Tile,
    ptx: bool,
    how: dict[str, Any],
) -> None:
    shape, tokens = weights.shape, x.shape[0]
    a = torch.empty(shape.routes(tokens), shape.intermediate, dtype=torch.bfloat16, device=x.device)
    about = {
        "TOP_K": shape.top_k,
        "GLOBAL": routing.experts,
        "MXFP8": weights.s1 is not None,
        "WIDE": weights.wide,
        "PTX": ptx,
        **how,
    }

    def sizes(gemm: Gemm, k: int) -> dict[str, int]:
        return {
            "BLOCK_N": gemm.block_n,
            "BLOCK_K": gemm.block_k,
            "SCALES": together_of(k),
            "STAGES": gemm.stages,
            "num_warps": gemm.warps,
            "num_stages": gemm.stages,
        }

    gate_up[(shape.intermediate // tile.first.block_n, shape.routes(tokens))](
        x,
        weights.w1,
        weights.w1 if weights.s1 is None else weights.s1,
        a,
        routing.ids,
        routing.expert_map,
        shape.intermediate,
        shape.hidden,
        x.stride(0),
        weights.w1.stride(0),
        weights.w1.stride(1),
        shape.alpha,
        shape.beta,
        shape.limit,
        **about,
        **sizes(tile.first, shape.hidden),
    )
    down_sum[(shape.hidden // tile.second.block_n, tokens)](
        a,
        weights.w2,
        weights.w2 if weights.s2 is None else weights.s2,
        out,
        routing.ids,
        routing.expert_map,
        routing.weights,
        counter,
        shape.hidden,
        shape.intermediate,
        weights.w2.stride(0),
        weights.w2.stride(1),
        out.stride(0),
        **about,
        **sizes(tile.second, shape.intermediate),
    )


def _sorted(
    x: torch.Tensor,
    weights: Weights,
    routing: Routing,
    out: torch.Tensor,
    *,
    counter: torch.Tensor,
    tile: Tile,
    ptx: bool,
    how: dict[str, Any],
) -> None:
    shape, tokens, device = weights.shape, x.shape[0], x.device
    routes = shape.routes(tokens)
    blocks = shape.blocks(tokens, tile.block_m)
    height = blocks * tile.block_m
    first, second = tile.first, tile.second
    sort = sort_constants(weights.shape, tile)
    table = torch.empty(height + 2 * blocks + 1, dtype=torch.int32, device=device)
    rows, block_expert, block_rows, count = table.split([height, blocks, blocks, 1])
    compact[(shape.experts,)](
        routing.ids,
        routing.expert_map,
        rows,
        block_expert,
        block_rows,
        count,
        counter,
        routes,
        triton.cdiv(routes, sort["CHUNK"]),
        GLOBAL=routing.experts,
        **sort,
        **{key: value for key, value in how.items() if key != "EMULATE"},
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
            routing.weights,
            n,
            k,
            x.stride(0),
            w.stride(0),
            w.stride(1),
            out.stride(-2),
            out.stride(0),
            shape.top_k,
            shape.alpha,
            shape.beta,
            shape.limit,
            FIRST=is_first,
            FUSED=is_first and tile.fused,
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
            PREFETCH=gemm.prefetch,
            num_warps=gemm.warps,
            num_stages=gemm.stages,
            **how,
        )

    a = torch.empty(height, shape.intermediate, dtype=torch.bfloat16, device=device)
    if tile.fused:
        product(x, a, first, is_first=True)
    else:
        h = _parts(first, height, 2 * shape.intermediate, device)
        product(x, h, first, is_first=True)
        high = min(tile.swiglu_rows, tile.block_m)
        swiglu[(shape.intermediate // tile.swiglu_columns, blocks, tile.block_m // high)](
            h,
            a,
            block_rows,
            count,
            shape.intermediate,
            h.stride(0),
            shape.alpha,
            shape.beta,
            shape.limit,
            BLOCK_M=tile.block_m,
            ROWS=high,
            COLUMNS=tile.swiglu_columns,
            SPLIT=first.split,
            num_warps=4,
            **how,
        )
    y = _parts(second, routes, shape.hidden, device)
    product(a, y, second, is_first=False)
    combine[(tokens, shape.hidden // tile.combine_columns)](
        y,
        routing.ids,
        routing.expert_map,
        out,
        counter,
        shape.hidden,
        y.stride(0),
        out.stride(0),
        TOP_K=shape.top_k,
        GLOBAL=routing.experts,
        COLUMNS=tile.combine_columns,
        SPLIT=second.split,
        num_warps=4,
        **how,
    )


def _parts(gemm: Gemm, height: int, width: int, device: torch.device) -> torch.Tensor:
    """[split, height, width]: BF16, or float32 where parts of K are summed later."""
    dtype = torch.bfloat16 if gemm.split == 1 else torch.float32
    return torch.empty(gemm.split, height, width, dtype=dtype, device=device)
