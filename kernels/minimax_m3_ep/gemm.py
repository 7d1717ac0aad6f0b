"""A grouped matrix product: each block of rows with its own expert's weights."""

from __future__ import annotations

import triton
import triton.language as tl

from .activation import swiglu_oai
from .rounding import bf16
from .widen import widen


@triton.jit(
    do_not_specialize=["rows", "block_expert", "block_rows", "blocks"]
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
    alpha,
    beta,
    limit,
    FIRST: tl.constexpr,
    FUSED: tl.constexpr,
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
    PREFETCH: tl.constexpr,
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
        rows: the route of each row.
        block_expert: local expert of each block.
        block_rows: how many rows of a block are filled.
        blocks: how many blocks hold work.
        topk_weights: the router's, [routes] float32.
        N: columns of the product, a multiple of BLOCK_N.
        K: a multiple of BLOCK_K * SPLIT.
        stride_x, stride_expert, stride_n, stride_out, stride_split: in elements.
        top_k: routes of a token.
        alpha, beta, limit: of SwiGLU-OAI, with `FUSED`.
        FIRST: the first of a layer's two products.
        FUSED: put gates and ups through SwiGLU: half of a tile's columns are gates, the other half their ups, `out` is half as wide.
        MXFP8: weights are compressed.
        WIDE, PTX: of `widen`.
        SWAP: multiply weights by activations, not the other way round; the product is the same.
        BLOCK_M, BLOCK_N, BLOCK_K: the tile.
        STEPS: K / BLOCK_K / SPLIT.
        SPLIT: parts of K.
        SCALES: scale bytes of a row that lie together.
        STAGES: tiles in flight.
        PREFETCH: tiles of weights that the second product asks for before its activations are there (CUDA only).
        PDL: whether the launch before may still be running.
        EMULATE: multiply in float32, which gives the same products: Triton's interpreter knows no BF16 arithmetic.
    """
    if PDL and FIRST:
        tl.extra.cuda.gdc_wait()
    program = tl.program_id(0)
    part = program % SPLIT
    tile = program // SPLIT
    tiles_n = N // BLOCK_N
    block = tile // tiles_n
    each = tl.arange(0, BLOCK_N)
    if FUSED:
        HALF: tl.constexpr = BLOCK_N // 2
        n = (tile % tiles_n) * HALF + tl.where(each < HALF, each, each - HALF + N // 2)
    else:
        n = (tile % tiles_n) * BLOCK_N + each
    m = tl.arange(0, BLOCK_M)
    k = tl.arange(0, BLOCK_K)
    row = block * BLOCK_M + m
    # all four at once, so that none waits for another; from L2, for the second product reads them before it has waited for
    # any launch, and its processor's L1 may hold an earlier layer's
    count = tl.load(blocks, cache_modifier=".cg")
    expert = tl.load(block_expert + block, cache_modifier=".cg").to(tl.int64)
    held = tl.load(block_rows + block, cache_modifier=".cg")
    route = tl.load(rows + row, cache_modifier=".cg")
    if block >= count:
        return
    if PDL and FIRST:
        # not before: `compact` is done before any launch that follows begins, and nobody reads its table any more once the layer
        # has ended, also where it holds no block and the launches that follow wait for nothing
        tl.extra.cuda.gdc_launch_dependents()
    filled = m < held
    route = tl.where(filled, route, 0)
    source = route // top_k if FIRST else row
    first_k = part * (STEPS * BLOCK_K)
    w = weights + expert * stride_expert + first_k + n.to(tl.int64)[:, None] * stride_n + k[None, :]
    group = part * (STEPS * BLOCK_K // 32) + tl.arange(0, BLOCK_K // 32)
    s = scales + expert * (N * (K // 32))
    if PDL and not FIRST:
        if PREFETCH > 0:
            ask_for(weights + expert * stride_expert + first_k, n, stride_n, PREFETCH * BLOCK_K)
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
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
    if FUSED:
        if SWAP:
            gate, up = tl.split(tl.permute(total.reshape(2, BLOCK_N // 2, BLOCK_M), (1, 2, 0)))
        else:
            gate, up = tl.split(tl.permute(total.reshape(BLOCK_M, 2, BLOCK_N // 2), (0, 2, 1)))
        total = swiglu_oai(gate, up, alpha, beta, limit, EMULATE)
        n = (tile % tiles_n) * (BLOCK_N // 2) + tl.arange(0, BLOCK_N // 2)
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


@triton.jit
def ask_for(w, n, stride_n, WIDTH: tl.constexpr):
    """Have so many elements of each row brought to the L2 cache, 128 bytes at a time (CUDA only)."""
    LINE: tl.constexpr = 128 * 8 // w.dtype.element_ty.primitive_bitwidth
    lines = w + n.to(tl.int64)[:, None] * stride_n + tl.arange(0, WIDTH // LINE)[None, :] * LINE
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.u32 $0, 0;", "=r,l", [lines], dtype=tl.int32, is_pure=False, pack=1
    )
