"""What stands between and behind the two products: SwiGLU-OAI, and the sum over a token's local routes."""

from __future__ import annotations

import triton
import triton.language as tl

from .local import local_expert
from .rounding import bf16


@triton.jit
def swiglu_oai(gate, up, alpha, beta, limit, EMULATE: tl.constexpr):
    """(up + beta) * gate * sigmoid(alpha * gate), clamped; both are rounded to BF16 first, as where a product of its own wrote them."""
    gate = tl.minimum(bf16(gate, EMULATE).to(tl.float32), limit)
    up = tl.minimum(tl.maximum(bf16(up, EMULATE).to(tl.float32), -limit), limit)
    return (up + beta) * gate / (1.0 + tl.exp(-alpha * gate))


@triton.jit(do_not_specialize=["block_rows", "blocks"])  # they vary with the step
def swiglu(
    h,
    out,
    block_rows,
    blocks,
    inner,
    stride_split,
    alpha,
    beta,
    limit,
    BLOCK_M: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPLIT: tl.constexpr,
    PDL: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """SwiGLU of filled rows, from [rows, 2 * inner] (gate before up) to [rows, inner] in BF16."""
    block = tl.program_id(1)
    # both at once; `compact`, which made them, is done: see `gemm`
    count = tl.load(blocks, cache_modifier=".cg")
    filled = tl.load(block_rows + block, cache_modifier=".cg")
    if block >= count:
        return
    first = block * BLOCK_M
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()  # before the wait: the second product has weights to ask for
        tl.extra.cuda.gdc_wait()
    m = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    inside = (m < filled)[:, None]
    row = (first + m).to(tl.int64)[:, None]
    i = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    gate = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    up = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for part in tl.static_range(SPLIT):
        place = h + part * stride_split + row * (2 * inner) + i
        gate += tl.load(place, mask=inside, other=0.0).to(tl.float32)
        up += tl.load(place + inner, mask=inside, other=0.0).to(tl.float32)
    value = swiglu_oai(gate, up, alpha, beta, limit, EMULATE)
    tl.store(out + row * inner + i, bf16(value, EMULATE), mask=inside)


@triton.jit(do_not_specialize=["counter"])  # it varies with the step
def combine(
    y,
    topk_ids,
    expert_map,
    out,
    counter,
    H,
    stride_split,
    stride_out,
    TOP_K: tl.constexpr,
    GLOBAL: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPLIT: tl.constexpr,
    PDL: tl.constexpr,
    EMULATE: tl.constexpr,
):
    """The sum over a token's local routes, in float32, to BF16; rows of remote routes were never written, nor are they read.

    The layer's last launch counts it: `counter` goes up by one, also where a graph replays it.
    """
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    route = token * TOP_K + tl.arange(0, TOP_K)
    inside = tl.full((TOP_K,), True, dtype=tl.int1)
    is_local = (
        local_expert(topk_ids, expert_map, route, inside, GLOBAL) >= 0
    )  # ids: known before the layer began
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    found = tl.zeros((TOP_K, COLUMNS), dtype=tl.float32)
    for part in tl.static_range(SPLIT):
        place = y + part * stride_split + route[:, None] * H + column[None, :]
        found += tl.load(place, mask=is_local[:, None], other=0.0).to(tl.float32)
    total = tl.sum(found, axis=0)
    tl.store(out + token * stride_out + column, bf16(total, EMULATE))
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        tl.atomic_add(counter, 1, sem="relaxed")
