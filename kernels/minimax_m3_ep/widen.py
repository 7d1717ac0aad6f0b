"""E4M3 values times E8M0 scales to BF16, in registers, exactly.

The bits of an E4M3 value, moved to where BF16 has sign, exponent and mantissa, read as the value times 2^-120, subnormal
ones too. So one multiplication by 2^(120 + scale - 127) gives the widened weight, rounded once, where BF16 holds that
factor: for scale bytes up to 134, a magnitude of 448 * 2^7. Layers with larger ones take two multiplications (`WIDE`).
The rule for what is no number, NaN (0x7f, 0xff) and the scale byte 255: such a layer is refused at load (`gate`), and is
never widened here.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .rounding import bf16


@triton.jit
def factors(scales, WIDE: tl.constexpr):
    """Float32 of scale bytes: 2^(scale - 7), or with `WIDE` 2^(scale - 127), whose smallest is subnormal."""
    byte = scales.to(tl.uint32)
    if WIDE:
        return tl.where(byte == 0, 0x00400000, byte << 23).to(tl.uint32).to(tl.float32, bitcast=True)
    return ((byte + 120) << 23).to(tl.float32, bitcast=True)


@triton.jit
def widen(values, scales, WIDE: tl.constexpr, PTX: tl.constexpr, EMULATE: tl.constexpr):
    """[N, K] E4M3 bytes with [N, K / 32] E8M0 bytes to [N, K] BF16.

    With `PTX` in instructions that take four bytes at a time: 2 permutes, 2 shifts, 4 logical ones, 2 multiplications.
    Else in float32, which holds each product, so that it is rounded once.
    """
    N: tl.constexpr = values.shape[0]
    K: tl.constexpr = values.shape[1]
    if PTX:
        factor = factors(scales, WIDE).to(tl.bfloat16)
        factor = tl.broadcast_to(factor[:, :, None], (N, K // 32, 32)).reshape(N, K)
        wide = tl.inline_asm_elementwise(
            """{
            .reg .b32 a, b, c, d;
            prmt.b32 a, $2, 0, 0x1404;
            prmt.b32 b, $2, 0, 0x3424;
            shr.u32 c, a, 4;
            shr.u32 d, b, 4;
            lop3.b32 c, c, 0x07f007f0, 0, 0xc0;
            lop3.b32 d, d, 0x07f007f0, 0, 0xc0;
            lop3.b32 $0, a, 0x80008000, c, 0xea;
            lop3.b32 $1, b, 0x80008000, d, 0xea;
            }""",
            "=r,=r,r",
            [values],
            dtype=tl.bfloat16,
            is_pure=True,
            pack=4,
        )
        if WIDE:
            wide = wide * tl.full((N, K), 1329227995784915872903807060280344576.0, tl.bfloat16)  # 2^120
        return wide * factor
    else:  # noqa: RET505 - a compile-time branch; without it Triton would compile both
        scale = tl.broadcast_to(factors(scales, WIDE)[:, :, None], (N, K // 32, 32)).reshape(N, K)
        byte = values.to(tl.uint32)
        value = (((byte & 0x80) << 24) | ((byte & 0x7F) << 20)).to(tl.float32, bitcast=True)
        if WIDE:
            value = value * 1329227995784915872903807060280344576.0  # 2^120
        return bf16(value * scale, EMULATE)
