"""The path that vLLM 0.32.0 takes today, reproduced: what it launches, how large, with which tiles of gfx942 or sm90.

All MXFP8 weights are in BF16. Buffers have a row a route, remote ones too; grids have the blocks that 128 experts could
fill; SwiGLU runs over every route's row; blocks and rows without local work are skipped (vLLM's
`experts/triton_moe.py`, its defaults in `fused_moe.get_default_config`; it has no tuned file for such a layer). Sorting is this package's, one launch
where vLLM's operator has two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from .activation import combine
from .align import compact

if TYPE_CHECKING:
    from .routing import Routing
    from .weights import Weights


@dataclass(frozen=True)
class Tile:
    """vLLM's, of both products."""

    block_m: int
    block_n: int
    block_k: int
    group_m: int
    warps: int
    stages: int


def tile_of(tokens: int, experts: int, arch: str = "gfx942") -> Tile:
    """What vLLM's defaults give for BF16 on ROCm (gfx942), or on CUDA (sm90)."""
    stages_on_cuda = 4 if tokens <= 32 else 3  # noqa: PLR2004 - vLLM's figures
    heights = ((32, 16), (96, 32), (512, 64))
    return Tile(
        block_m=next((height for most, height in heights if tokens <= most), 128),
        block_n=64 if tokens <= 64 else 128,  # noqa: PLR2004 - vLLM's figures
        block_k=128 if tokens <= 64 else 64,  # noqa: PLR2004
        group_m=16 if tokens // experts > 128 else 1,  # noqa: PLR2004
        warps=4 if tokens <= 128 else 8,  # noqa: PLR2004
        stages=2 if arch == "gfx942" else stages_on_cuda,
    )


@triton.jit
def _product(
    x, weights, out, rows, block_expert, block_rows, blocks, topk_weights, all_blocks, N, K, stride_expert, stride_n, top_k,
    FIRST: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """A block of rows of one expert times its weights; the result's row is the route's."""
    tiles_n = N // BLOCK_N
    program = tl.program_id(0)
    first = program // (GROUP_M * tiles_n) * GROUP_M
    height = tl.minimum(all_blocks - first, GROUP_M)
    inside = program % (GROUP_M * tiles_n)
    block = first + inside % height
    if block >= tl.load(blocks):
        return
    m = tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    n = (inside // height) * BLOCK_N + tl.arange(0, BLOCK_N)
    filled = m < tl.load(block_rows + block)
    route = tl.load(rows + block * BLOCK_M + m, mask=filled, other=0)
    source = (route // top_k if FIRST else route).to(tl.int64)
    expert = tl.load(block_expert + block).to(tl.int64)
    a = x + source[:, None] * K + k[None, :]
    w = weights + expert * stride_expert + n.to(tl.int64)[None, :] * stride_n + k[:, None]
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for _ in range(K // BLOCK_K):
        total = tl.dot(tl.load(a, mask=filled[:, None], other=0.0), tl.load(w), total)
        a += BLOCK_K
        w += BLOCK_K
    if not FIRST:
        total *= tl.load(topk_weights + route, mask=filled, other=0.0)[:, None]
    place = out + route.to(tl.int64)[:, None] * N + n[None, :]
    tl.store(place, total.to(tl.bfloat16), mask=filled[:, None])


@triton.jit
def _swiglu(h, out, inner, alpha, beta, limit, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    gate = tl.minimum(tl.load(h + row * 2 * inner + i).to(tl.float32), limit)
    up = tl.load(h + row * 2 * inner + inner + i).to(tl.float32)
    up = tl.minimum(tl.maximum(up, -limit), limit)
    value = (up + beta) * gate / (1.0 + tl.exp(-alpha * gate))
    tl.store(out + row * inner + i, value.to(tl.bfloat16))


def forward(
    x: torch.Tensor,
    weights: Weights,
    routing: Routing,
    out: torch.Tensor,
    counter: torch.Tensor,
    arch: str = "gfx942",
) -> None:
    """A layer's local routes into `out`, as vLLM computes them today on `arch`."""
    shape, tokens, device = weights.shape, x.shape[0], x.device
    tile = tile_of(tokens, shape.experts, arch)
    routes = shape.routes(tokens)
    padded = routes + routing.experts * (tile.block_m - 1)
    blocks = triton.cdiv(min(padded, routes * tile.block_m), tile.block_m)
    table = torch.empty(blocks * (tile.block_m + 2) + 1, dtype=torch.int32, device=device)
    rows, block_expert, block_rows, count = table.split([blocks * tile.block_m, blocks, blocks, 1])
    h = torch.empty(routes, 2 * shape.intermediate, dtype=torch.bfloat16, device=device)
    a = torch.empty(routes, shape.intermediate, dtype=torch.bfloat16, device=device)
    y = torch.empty(routes, shape.hidden, dtype=torch.bfloat16, device=device)
    chunk = min(4096, max(16, triton.next_power_of_2(routes)))
    compact[(shape.experts,)](
        routing.ids, routing.expert_map, rows, block_expert, block_rows, count, counter, routes, triton.cdiv(routes, chunk),
        BLOCK_M=tile.block_m, CHUNK=chunk, ONE=chunk >= routes, EXPERTS=triton.next_power_of_2(shape.experts), GLOBAL=routing.experts, PDL=False,
    )  # fmt: skip

    def product(x: torch.Tensor, w: torch.Tensor, out: torch.Tensor, *, is_first: bool) -> None:
        _, n, k = w.shape
        _product[(blocks * (n // tile.block_n),)](
            x, w, out, rows, block_expert, block_rows, count, routing.weights, blocks, n, k, w.stride(0), w.stride(1),
            shape.top_k, FIRST=is_first, BLOCK_M=tile.block_m, BLOCK_N=tile.block_n, BLOCK_K=tile.block_k,
            GROUP_M=tile.group_m, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip

    product(x, weights.w1, h, is_first=True)
    columns = min(1024, shape.intermediate, shape.hidden)  # the check may ask for a small layer
    _swiglu[(routes, shape.intermediate // columns)](
        h, a, shape.intermediate, shape.alpha, shape.beta, shape.limit, COLUMNS=columns
    )
    product(a, weights.w2, y, is_first=False)
    combine[(tokens, shape.hidden // columns)](
        y, routing.ids, routing.expert_map, out, counter, shape.hidden, 0, out.stride(0),
        TOP_K=shape.top_k, GLOBAL=routing.experts, COLUMNS=columns, SPLIT=1, PDL=False, EMULATE=False,
    )  # fmt: skip
