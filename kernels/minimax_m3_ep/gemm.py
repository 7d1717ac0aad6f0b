"""A grouped matrix product: each block of rows with its own expert's weights."""

from __future__ import annotations

import triton
import triton.language as tl

from .rounding import bf16
from .widen import widen


@triton.jit(
    do_not_specialize=["block_expert", "block_rows", "blocks"]
)  # they vary with the step, and each variation would be compiled
def grouped(
    x,
    weights,
    scales,
    out,
    rows,
    block_expert,
    block_rows,
    blocks,
    topk_weights,
    N,
    K,
    stride_x,
    stride_expert,
    stride_n,
    stride_out,
    stride_split,
    top_k,
    FIRST: tl.constexpr,
    DIRECT: tl.constexpr,
    MXFP8: tl.constexpr,
    WIDE: tl.constexpr,
    PTX: tl.constexpr,
    SWAP: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STEPS: tl.constexpr,
    SPLIT: tl.constexpr,
    SCALES: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """One program a block of rows, a block of columns, and a part of K.

    Programs of a block of rows follow each other, so that those without work come last and cost nothing.

    Args:
        x: activations; with `FIRST` [tokens, K], gathered by route; else one row a row of the blocks.
        weights: [experts, N, K], BF16, or E4M3 bytes with `MXFP8`; rows may be padded (strides).
        scales: E8M0 bytes, [experts, K / 32 / SCALES, N, SCALES].
        out: with `FIRST` one row a row of the blocks, else one a route, times the router's weight; [SPLIT, …] in float32 where
            K is split.
        rows: the route of each row; with `DIRECT` the global expert of each route.
        block_expert: local expert of each block; with `DIRECT` the map of global to local experts.
        block_rows: how many rows of a block are filled.
        blocks: how many blocks hold work.
        topk_weights: the router's, [routes] float32.
        N: columns of the product, a multiple of BLOCK_N.
        K: a multiple of BLOCK_K * SPLIT.
        stride_x, stride_expert, stride_n, stride_out, stride_split: in elements.
        top_k: routes of a token.
        FIRST: the first of a layer's two products.
        DIRECT: a block a route, not sorted: for a handful of tokens, where sorting costs more than it saves.
        MXFP8: weights are compressed.
        WIDE, PTX: of `widen`.
        SWAP: multiply weights by activations, not the other way round; the product is the same.
        BLOCK_M, BLOCK_N, BLOCK_K: the tile.
        STEPS: K / BLOCK_K / SPLIT.
        SPLIT: parts of K.
        SCALES: scale bytes of a row that lie together.
        STAGES: tiles in flight.
        PDL: whether the launch before may still be running.
        EMULATE: multiply in float32, which gives the same products: Triton's interpreter knows no BF16 arithmetic.
    """
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    program = tl.program_id(0)
    part = program % SPLIT
    tile = program // SPLIT
    tiles_n = N // BLOCK_N
    block = tile // tiles_n
    n = (tile % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    if DIRECT:
        expert = tl.load(block_expert + tl.load(rows + block)).to(tl.int64)
        if expert < 0:
            return
        filled = m < 1
        row = block + m
        route = row
    else:
        count = tl.load(blocks)  # all four at once: none waits for another one
        expert = tl.load(block_expert + block).to(tl.int64)
        held = tl.load(block_rows + block)
        row = block * BLOCK_M + m
        route = tl.load(rows + row)
        if block >= count:
            return
        filled = m < held
        route = tl.where(filled, route, 0)
    source = route // top_k if FIRST else row
    first_k = part * (STEPS * BLOCK_K)
    w = weights + expert * stride_expert + first_k + n.to(tl.int64)[:, None] * stride_n + k[None, :]
    group = part * (STEPS * BLOCK_K // 32) + tl.arange(0, BLOCK_K // 32)
    s = scales + expert * (N * (K // 32))
    if SWAP:
        a = x + first_k + source.to(tl.int64)[None, :] * stride_x + k[:, None]
        total = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.float32)
    else:
        a = x + first_k + source.to(tl.int64)[:, None] * stride_x + k[None, :]
        total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for _ in tl.range(0, STEPS, num_stages=STAGES):
        part_x = tl.load(a, mask=filled[None, :] if SWAP else filled[:, None], other=0.0)
        weight = tl.load(w)
        if MXFP8:
            byte = tl.load(
                s + ((group // SCALES)[None, :] * N + n[:, None]) * SCALES + (group % SCALES)[None, :]
            )
            weight = widen(weight, byte, WIDE, PTX, EMULATE)
            group += BLOCK_K // 32
        if EMULATE:
            weight = weight.to(tl.float32)
            part_x = part_x.to(tl.float32)
        total = tl.dot(weight, part_x, total) if SWAP else tl.dot(part_x, weight.T, total)
        a += BLOCK_K
        w += BLOCK_K
    if not FIRST:
        share = tl.load(topk_weights + route, mask=filled, other=0.0)
        total *= share[None, :] if SWAP else share[:, None]
    if SPLIT == 1:
        total = bf16(total, EMULATE)
    target = (row if FIRST else route).to(tl.int64)
    out += part * stride_split
    if SWAP:
        place = out + target[None, :] * stride_out + n[:, None]
        tl.store(place, total, mask=filled[None, :])
    else:
        place = out + target[:, None] * stride_out + n[None, :]
        tl.store(place, total, mask=filled[:, None])
