"""vLLM's own code on a platform that is faked: the CPU build's, told that it is ROCm on a gfx942."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kernels.minimax_m3_ep import marker, plugin


def parallel(**changes):
    """TP8 with EP8, as vLLM flattens it: all of a rank's GPUs belong to expert parallelism."""
    from vllm.model_executor.layers.fused_moe.config import FusedMoEParallelConfig

    usual = {
        "tp_size": 1, "pcp_size": 1, "dp_size": 1, "ep_size": 8, "tp_rank": 0, "pcp_rank": 0, "dp_rank": 0, "ep_rank": 3,
        "sp_size": 1, "use_ep": True, "all2all_backend": "allgather_reducescatter", "enable_eplb": False,
    }  # fmt: skip
    return FusedMoEParallelConfig(**usual | changes)


def config(parallelism=None, **changes):
    """MiniMax-M3's layer with EP8, as vLLM describes it."""
    from vllm.model_executor.layers.fused_moe.activation import MoEActivation
    from vllm.model_executor.layers.fused_moe.config import FusedMoEConfig, RoutingMethodType

    usual = {
        "num_experts": 128, "experts_per_token": 4, "hidden_dim": 6144, "intermediate_size": 3072, "num_local_experts": 16,
        "num_logical_experts": 128, "activation": MoEActivation.SWIGLUOAI_UNINTERLEAVE, "device": "cpu",
        "routing_method": RoutingMethodType.Renormalize, "in_dtype": torch.bfloat16, "swiglu_limit": 7.0,
        "swiglu_alpha": 1.702, "swiglu_beta": 1.0,
    }  # fmt: skip
    return FusedMoEConfig(**usual | {"moe_parallel_config": parallelism or parallel()} | changes)


def tiny(**changes):
    """The layer of the tiny recipe, TP2 with EP2."""
    usual = {
        "num_experts": 8, "num_logical_experts": 8, "num_local_experts": 4, "experts_per_token": 2, "hidden_dim": 128,
        "intermediate_size": 64,
    }  # fmt: skip
    return config(parallel(ep_size=2, ep_rank=1), **usual | changes)


def on(patch: pytest.MonkeyPatch, arch: str) -> None:
    """Make vLLM believe that it runs on ROCm."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import PlatformEnum

    patch.setattr(type(current_platform), "_enum", PlatformEnum.ROCM)
    patch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(gcnArchName=f"{arch}:sramecc+:xnack-")
    )


def on_hopper(patch: pytest.MonkeyPatch) -> None:
    """Make vLLM believe that it runs on an H100."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import DeviceCapability, PlatformEnum

    kind = type(current_platform)
    patch.setattr(kind, "_enum", PlatformEnum.CUDA)
    patch.setattr(kind, "get_device_capability", classmethod(lambda *_, **__: DeviceCapability(9, 0)))
    patch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    patch.setattr(torch.cuda, "current_device", lambda: 0)


def load(patch: pytest.MonkeyPatch, variant: str) -> None:
    """Load the plugin as vLLM does, until the test ends."""
    from vllm.model_executor.layers.fused_moe.oracle import mxfp8, unquantized
    from vllm.model_executor.layers.quantization import modelopt

    for place, name in (
        (unquantized, "backend_to_kernel_cls"),
        (mxfp8, "_mxfp8_backend_to_kernel_cls"),
        (modelopt.ModelOptMxFp8FusedMoE, "_dequant_mxfp8_weights_to_bf16"),
        (modelopt, "select_mxfp8_moe_backend"),
    ):
        patch.setattr(place, name, getattr(place, name))  # so that it is put back
    patch.setattr(marker.MARKER, "rows", [])
    patch.setenv(plugin.VARIANT, variant)
    plugin.register()
