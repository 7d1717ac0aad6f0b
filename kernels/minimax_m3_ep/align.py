"""Which rows each local expert computes: routes to remote experts dropped, the others in blocks of one expert each."""

from __future__ import annotations

import triton
import triton.language as tl

from .local import local_expert


@triton.jit(
    do_not_specialize=["rows", "block_expert", "block_rows", "blocks", "counter", "routes", "chunks"]
)  # they vary with the step, and each variation would be compiled
def compact(
    topk_ids,
    expert_map,
    rows,
    block_expert,
    block_rows,
    blocks,
    counter,
    routes,
    chunks,
    BLOCK_M: tl.constexpr,
    CHUNK: tl.constexpr,
    ONE: tl.constexpr,
    EXPERTS: tl.constexpr,
    GLOBAL: tl.constexpr,
    PDL: tl.constexpr,
):
    """One program an expert: a counting sort, stable in the order of routes.

    Args:
        topk_ids: global expert of each route, [routes] int32.
        expert_map: global expert -> local one, or -1, int32.
        rows: gets the route of each row, [blocks * BLOCK_M] int32; rows that no route fills keep what they held.
        block_expert: gets the local expert of each block.
        block_rows: gets how many rows of each block are filled.
        blocks: gets the number of blocks that hold work, [1] int32.
        counter: of the step, int64: its local routes, experts in use and blocks are added to places 1 to 3 (`routing.COUNTED`).
        routes: how many there are.
        chunks: ceil(routes / CHUNK).
        BLOCK_M: rows of a block.
        CHUNK: routes looked at together.
        ONE: all routes are in one chunk.
        EXPERTS: local ones, padded to a power of two.
        GLOBAL: entries of the map; an id outside of it is remote.
        PDL: whether the launch before may still be running (CUDA only).
    """
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    mine = tl.program_id(0)
    expert = tl.arange(0, 2 * EXPERTS)
    count = tl.zeros((2 * EXPERTS,), dtype=tl.int32)
    local = tl.full((CHUNK,), -1, dtype=tl.int32)
    for chunk in range(chunks):
        route = chunk * CHUNK + tl.arange(0, CHUNK)
        local = local_expert(topk_ids, expert_map, route, route < routes, GLOBAL)
        count += tl.histogram(tl.where(local < 0, EXPERTS, local), 2 * EXPERTS)
    count = tl.where(expert < EXPERTS, count, 0)  # the bins above hold remote routes
    needed = (count + BLOCK_M - 1) // BLOCK_M
    first = tl.sum(tl.where(expert < mine, needed, 0), axis=0)
    own = tl.sum(tl.where(expert == mine, count, 0), axis=0)
    before = 0
    for chunk in range(chunks):
        route = chunk * CHUNK + tl.arange(0, CHUNK)
        if not ONE:  # else it is still there
            local = local_expert(topk_ids, expert_map, route, route < routes, GLOBAL)
        hit = (local == mine).to(tl.int32)
        rank = before + tl.cumsum(hit, axis=0) - 1
        tl.store(rows + first * BLOCK_M + rank, route, mask=hit > 0)
        if not ONE:
            before += tl.sum(hit, axis=0)
    for chunk in range((own + BLOCK_M * CHUNK - 1) // (BLOCK_M * CHUNK)):
        block = chunk * CHUNK + tl.arange(0, CHUNK)
        held = tl.minimum(own - block * BLOCK_M, BLOCK_M)
        tl.store(block_expert + first + block, mine, mask=held > 0)
        tl.store(block_rows + first + block, held, mask=held > 0)
    if mine == 0:
        tl.store(blocks, tl.sum(needed, axis=0))
        tl.atomic_add(counter + 1, tl.sum(count, axis=0).to(tl.int64), sem="relaxed")
        tl.atomic_add(counter + 2, tl.sum((count > 0).to(tl.int32), axis=0).to(tl.int64), sem="relaxed")
        tl.atomic_add(counter + 3, tl.sum(needed, axis=0).to(tl.int64), sem="relaxed")
