"""Every E4M3 byte with every E8M0 byte."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl

from kernels.minimax_m3_ep import reference
from kernels.minimax_m3_ep.weights import LARGEST_NARROW
from kernels.minimax_m3_ep.widen import widen


@triton.jit
def _all(values, scales, out, WIDE: tl.constexpr):
    n = tl.program_id(0)
    k = tl.arange(0, 256)[None, :]
    value = tl.load(values + k)
    scale = tl.load(scales + n * 8 + tl.arange(0, 8)[None, :])
    tl.store(out + n * 256 + k, widen(value, scale, WIDE=WIDE, PTX=False, EMULATE=True))


def widened(*, wide: bool) -> torch.Tensor:
    """[scale, value] by the kernel's code."""
    out = torch.zeros(256, 256, dtype=torch.bfloat16)
    values = torch.arange(256, dtype=torch.uint8)
    scales = torch.arange(256, dtype=torch.uint8).repeat_interleave(8)
    _all[(256,)](values, scales, out, WIDE=wide)
    return out


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("wide", [False, True])
def test_every_pair_widens_exactly(wide: bool) -> None:  # noqa: FBT001 - a table's column
    """65,536 pairs, the same bits as the reference in float64; NaN and the scale 255 are the gate's to refuse."""
    values = torch.arange(256, dtype=torch.uint8)
    expected = torch.stack(
        [reference.widen(values, torch.full((8,), scale, dtype=torch.uint8)) for scale in range(256)]
    )
    number = ~torch.isin(values, torch.tensor(reference.NAN_BYTES, dtype=torch.uint8))
    scales = slice(0, 255 if wide else LARGEST_NARROW + 1)
    found = widened(wide=wide)[scales][:, number].view(torch.int16)
    assert torch.equal(found, expected[scales][:, number].view(torch.int16))


def test_the_reference_is_pythons_own_arithmetic() -> None:
    """Some by hand: the largest, the smallest subnormal, both zeros, and what is no number."""
    byte = torch.tensor([0x7E, 0x01, 0x00, 0x80, 0x7F, 0x38] + [0x38] * 26, dtype=torch.uint8)
    wide = reference.widen(byte, torch.tensor([130], dtype=torch.uint8), torch.float64)
    assert wide[:4].tolist() == [448 * 8.0, 2**-9 * 8.0, 0.0, -0.0]
    assert str(wide[3].item()) == "-0.0"
    assert torch.isnan(wide[4])
    assert wide[5] == 8.0
    assert torch.isnan(reference.widen(byte, torch.tensor([255], dtype=torch.uint8))).all()
