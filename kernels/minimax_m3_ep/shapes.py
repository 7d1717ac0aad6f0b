"""Sizes of a layer, and what follows from them: bounds of buffers and grids, for every number of tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

GROUP = 32
"""Values along K that share one E8M0 scale (OCP MX)."""


@dataclass(frozen=True)
class Shape:
    """Of one layer on one rank."""

    experts: int
    """Local ones."""
    hidden: int
    intermediate: int
    top_k: int
    alpha: float = 1.702
    """Of SwiGLU-OAI."""
    beta: float = 1.0
    limit: float = 7.0
    """Gate is clamped from above, up from both sides."""

    def routes(self, tokens: int) -> int:
        """Chosen experts of all tokens, remote ones too."""
        return tokens * self.top_k

    def blocks(self, tokens: int, block_m: int) -> int:
        """The most blocks of `block_m` rows that any routing can fill: each expert may leave one of its own unfilled."""
        routes = self.routes(tokens)
        return min(routes, self.experts + routes // block_m)


MINIMAX_M3 = Shape(experts=16, hidden=6144, intermediate=3072, top_k=4)
"""16 local experts: 128 on each of eight GPUs (TP8 with EP8), or as many of a smaller model on fewer."""

MINIMAX_M3_32 = replace(MINIMAX_M3, experts=32)
"""32 local experts: 128 on four GPUs (TP4 with EP4)."""

TINY = Shape(experts=4, hidden=128, intermediate=64, top_k=2)
"""Of the tiny model that shows the whole path on a CPU, TP2 with EP2: 4 of 8 experts on each of two ranks."""

TINY_2 = replace(TINY, experts=2)
"""The same with EP4: 2 of 8 experts on each of four ranks."""
