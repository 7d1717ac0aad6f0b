"""Which local expert a route means: the one place that reads an id, and so the one that bounds it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def local_expert(topk_ids, expert_map, route, inside, GLOBAL: tl.constexpr):
    """The local expert of each route, int32, or -1 where there is none.

    An id outside of the map means a remote expert, and no memory is read for it: vLLM hands in rows that only pad a
    captured graph, whose ids nobody wrote.

    Args:
        topk_ids: global expert of each route, int32.
        expert_map: global expert -> local one, or -1, [GLOBAL] int32.
        route: which ones.
        inside: which of them exist.
        GLOBAL: entries of the map.
    """
    chosen = tl.load(topk_ids + route, mask=inside, other=-1, cache_modifier=".cg")
    known = (chosen >= 0) & (chosen < GLOBAL)
    return tl.load(expert_map + tl.where(known, chosen, 0), mask=known, other=-1).to(tl.int32)
