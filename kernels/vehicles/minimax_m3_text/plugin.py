"""What vLLM calls when it loads the vehicle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VERSIONS = ("0.32.0", "0.33.0")
SCALE = 117
"""The E8M0 byte of 2^-10."""


def register() -> None:
    """Prepare this process's vLLM; a second call does nothing.

    Raises:
        RuntimeError: anywhere but on a GPU, with a version that it was made for.
    """
    import vllm  # noqa: PLC0415 - an error while vLLM imports a plugin is only logged
    from vllm.platforms import current_platform  # noqa: PLC0415
    from vllm.transformers_utils import config  # noqa: PLC0415

    version = vllm.__version__.split("+", maxsplit=1)[0]
    if version not in VERSIONS or current_platform.is_cpu():
        raise RuntimeError(
            f"minimax-m3-text is for vLLM {' and '.join(VERSIONS)} on a GPU, and this is {vllm.__version__} on "
            f"{current_platform.device_type}; take `vehicle:` out of the recipe"
        )
    config._CONFIG_REGISTRY["minimax_m3_text"] = "MiniMaxM3TextConfig"  # noqa: SLF001 - it has no public way in
    if current_platform.is_cuda():
        _fused_all_reduce_where_it_works()
    _dummy_weights_in_mxfp8()


def _fused_all_reduce_where_it_works() -> None:
    """FlashInfer's all-reduce with the norm behind it ends in an illegal address without multicast; vLLM's own path is taken there.

    Asked when a worker wants to use it: here the driver must not be touched, since workers may be forks of this process.
    """
    from vllm.model_executor.layers import fused_allreduce_gemma_rms_norm as fused  # noqa: PLC0415

    original = fused._can_use_flashinfer  # noqa: SLF001 - its only switch
    if getattr(original, "asks_for_multicast", False):
        return

    def can_use_flashinfer(*args: object, **kwargs: object) -> object:
        return original(*args, **kwargs) if _multicast() else (False, 0)

    can_use_flashinfer.asks_for_multicast = True  # type: ignore[attr-defined]  # so that a second call does nothing
    fused._can_use_flashinfer = can_use_flashinfer  # noqa: SLF001


def _dummy_weights_in_mxfp8() -> None:
    """Dummy MXFP8 weights like the BF16 ones, between -0.001 and 0.001.

    VLLM draws E4M3 values so small that nearly all round to zero, and leaves the scales as the memory was, where 255 stands for no number.
    """
    import torch  # noqa: PLC0415
    from vllm.model_executor.model_loader import dummy_loader  # noqa: PLC0415

    original = dummy_loader.initialize_single_dummy_weight
    if getattr(original, "knows_mxfp8", False):
        return

    def initialize(param: torch.Tensor, *args: object, **kwargs: object) -> None:
        if param.dtype == torch.float8_e4m3fn:
            original(param, -1.0, 1.0)
        elif param.dtype == torch.uint8:
            param.fill_(SCALE)
        else:
            original(param, *args, **kwargs)

    initialize.knows_mxfp8 = True  # type: ignore[attr-defined]  # so that a second call does nothing
    dummy_loader.initialize_single_dummy_weight = initialize


def _multicast() -> bool:
    """Whether the GPU can write to all of its neighbours at once."""
    import torch  # noqa: PLC0415

    try:
        from torch._C._distributed_c10d import _SymmetricMemory  # noqa: PLC0415 - there is no public question

        device = torch._C._autograd.DeviceType.CUDA  # noqa: SLF001
        return bool(_SymmetricMemory.has_multicast_support(device, torch.cuda.current_device()))
    except (ImportError, AttributeError, RuntimeError):
        return False
