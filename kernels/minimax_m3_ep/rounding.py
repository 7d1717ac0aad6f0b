"""Float32 to BF16, to nearest, ties to even, also where Triton's interpreter would cut digits off."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def bf16(x, EMULATE: tl.constexpr):
    """What a GPU's own conversion gives; with `EMULATE` by integers, for the interpreter (NaN aside)."""
    if EMULATE:
        bits = x.to(tl.uint32, bitcast=True)
        bits += 0x7FFF + ((bits >> 16) & 1)
        return (bits >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return x.to(tl.bfloat16)
