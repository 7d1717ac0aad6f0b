"""A handful of tokens: two launches of matrix-vector products, a block a route, with SwiGLU and the sum inside them.

So few routes leave nothing to sort, a matrix instruction would mostly multiply padding, and launches are what costs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .activation import swiglu_oai
from .local import local_expert
from .rounding import bf16
from .widen import widen


@triton.jit
def gate_up(
    x,
    weights,
    scales,
    out,
    topk_ids,
    expert_map,
    INNER: tl.constexpr,
    K: tl.constexpr,
    stride_x,
    stride_expert,
    stride_n,
    alpha,
    beta,
    limit,
    TOP_K: tl.constexpr,
    GLOBAL: tl.constexpr,
    MXFP8: tl.constexpr,
    WIDE: tl.constexpr,
    PTX: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SCALES: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """SwiGLU of the first product: one program a route and `BLOCK_N` columns of gates with their ups.

    Args:
        x: activations, [tokens, K].
        weights, scales: as `gemm.grouped` has them, 2 * INNER rows, gates before ups.
        out: [routes, INNER]; rows of remote routes keep what they held.
        topk_ids: global expert of each route.
        expert_map: global expert -> local one, or -1.
        INNER, K: of the weights.
        stride_x, stride_expert, stride_n: in elements.
        alpha, beta, limit: of SwiGLU-OAI.
        TOP_K: routes of a token.
        GLOBAL: entries of the map; an id outside of it is remote.
        MXFP8, WIDE, PTX, SCALES, STAGES, PDL, EMULATE: as in `gemm.grouped`.
        BLOCK_N, BLOCK_K: the tile.
    """
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    route = tl.program_id(1)
    expert = local_expert(topk_ids, expert_map, route, True, GLOBAL).to(tl.int64)
    if expert < 0:
        return
    column = tl.program_id(0) * BLOCK_N
    each = tl.arange(0, 2 * BLOCK_N)
    n = column + tl.where(each < BLOCK_N, each, each - BLOCK_N + INNER)
    h = _product(
        x + (route // TOP_K).to(tl.int64) * stride_x,
        weights + expert * stride_expert,
        scales + expert * (2 * INNER * (K // 32)),
        n,
        2 * INNER,
        K,
        stride_n,
        MXFP8,
        WIDE,
        PTX,
        2 * BLOCK_N,
        BLOCK_K,
        SCALES,
        STAGES,
        EMULATE,
    )
    gate, up = tl.split(tl.permute(h.reshape(2, BLOCK_N), (1, 0)))
    value = swiglu_oai(gate, up, alpha, beta, limit, EMULATE)
    place = out + route.to(tl.int64) * INNER + column + tl.arange(0, BLOCK_N)
    tl.store(place, bf16(value, EMULATE))


@triton.jit(do_not_specialize=["counter"])  # it varies with the step
def down_sum(
    a,
    weights,
    scales,
    out,
    topk_ids,
    expert_map,
    topk_weights,
    counter,
    N: tl.constexpr,
    K: tl.constexpr,
    stride_expert,
    stride_n,
    stride_out,
    TOP_K: tl.constexpr,
    GLOBAL: tl.constexpr,
    MXFP8: tl.constexpr,
    WIDE: tl.constexpr,
    PTX: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SCALES: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """The second product, times the router's weight, summed over a token's local routes: one program a token and `BLOCK_N` columns.

    The layer's last launch counts it, also where a graph replays it: a step, and its local routes (`routing.COUNTED`).
    Arguments as in `gate_up`; `a` is its output, `out` [tokens, N].
    """
    token = tl.program_id(1)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    total = tl.zeros((BLOCK_N,), dtype=tl.float32)
    local = 0
    for choice in range(TOP_K):
        route = token * TOP_K + choice
        expert = local_expert(topk_ids, expert_map, route, True, GLOBAL).to(tl.int64)
        if expert >= 0:
            y = _product(
                a + route.to(tl.int64) * K,
                weights + expert * stride_expert,
                scales + expert * (N * (K // 32)),
                n,
                N,
                K,
                stride_n,
                MXFP8,
                WIDE,
                PTX,
                BLOCK_N,
                BLOCK_K,
                SCALES,
                STAGES,
                EMULATE,
            )
            total += y * tl.load(topk_weights + route)
            local += 1
    tl.store(out + token.to(tl.int64) * stride_out + n, bf16(total, EMULATE))
    if tl.program_id(0) == 0:
        tl.atomic_add(counter + 1, local, sem="relaxed")
        if token == 0:
            tl.atomic_add(counter, 1, sem="relaxed")


@triton.jit
def _product(
    x,
    weights,
    scales,
    n,
    N: tl.constexpr,
    K: tl.constexpr,
    stride_n,
    MXFP8: tl.constexpr,
    WIDE: tl.constexpr,
    PTX: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    SCALES: tl.constexpr,
    STAGES: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """Rows `n` of one expert's weights times one row of activations, in float32."""
    k = tl.arange(0, BLOCK_K)
    group = tl.arange(0, BLOCK_K // 32)
    w = weights + n.to(tl.int64)[:, None] * stride_n + k[None, :]
    total = tl.zeros((ROWS, BLOCK_K), dtype=tl.float32)
    for step in tl.range(0, K // BLOCK_K, num_stages=STAGES):
        weight = tl.load(w + step * BLOCK_K)
        if MXFP8:
            at = step * (BLOCK_K // 32) + group
            byte = tl.load(
                scales + ((at // SCALES)[None, :] * N + n[:, None]) * SCALES + (at % SCALES)[None, :]
            )
            weight = widen(weight, byte, WIDE, PTX, EMULATE)
        total += weight.to(tl.float32) * tl.load(x + step * BLOCK_K + k).to(tl.float32)[None, :]
    return tl.sum(total, axis=1)
