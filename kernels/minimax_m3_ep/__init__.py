"""MiniMax-M3's expert-parallel decode: a mixture-of-experts layer that computes the local routes and nothing else.

One layer is five launches: compact the local routes into blocks of one expert (`align`), the first grouped product
(`gemm`), SwiGLU (`activation`), the second product with the router's weight, and the sum over a token's local routes
(`activation.combine`). `layer` puts them together, `reference` says in torch what they compute.

Variants: `compact-bf16` on weights that were widened at load, `mxfp8` on the checkpoint's own bytes (`widen`).
"""

from __future__ import annotations

VARIANTS = ("compact-bf16", "mxfp8")
"""What a recipe may ask for: a literal, because a plan reads it without running any of this."""
