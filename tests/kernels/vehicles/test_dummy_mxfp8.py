"""The text model's vehicle: dummy MXFP8 weights are numbers as large as the BF16 ones."""

from __future__ import annotations

import torch

from kernels.vehicles.minimax_m3_text import plugin


def test_dummy_mxfp8_weights_are_like_those_in_bf16(monkeypatch):
    """E4M3 values spread over a whole range and scales that bring them to a thousandth; other tensors stay vLLM's own."""
    from vllm.model_executor.model_loader import dummy_loader

    monkeypatch.setattr(
        dummy_loader, "initialize_single_dummy_weight", dummy_loader.initialize_single_dummy_weight
    )
    plugin._dummy_weights_in_mxfp8()
    once = dummy_loader.initialize_single_dummy_weight
    plugin._dummy_weights_in_mxfp8()
    assert dummy_loader.initialize_single_dummy_weight is once
    values = torch.empty(256, 1024, dtype=torch.float8_e4m3fn)
    scales = torch.full((256, 32), 255, dtype=torch.uint8)
    plain, whole = torch.empty(4096, dtype=torch.bfloat16), torch.arange(4, dtype=torch.int32)
    for one in (values, scales, plain, whole):
        once(one)
    widened = values.float() * torch.exp2(scales.float().repeat_interleave(32, 1) - 127)
    assert (widened == 0).float().mean() < 0.01
    assert widened.abs().max() <= 2**-10
    assert abs(widened.std() / plain.float().std() - 1) < 0.05
    assert whole.tolist() == [0, 1, 2, 3]
