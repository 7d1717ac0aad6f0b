"""What vLLM calls when it loads the vehicle: six parts that its CPU build lacks, each in torch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

VERSION = "0.32.0"


def register() -> None:
    """Bridge this process's vLLM; a second call does nothing.

    Raises:
        RuntimeError: anywhere but on the CPU build of the version that it was made for.
    """
    import vllm  # noqa: PLC0415 - an error while vLLM imports a plugin is only logged
    from vllm.platforms import current_platform  # noqa: PLC0415

    if vllm.__version__.split("+", maxsplit=1)[0] != VERSION or not current_platform.is_cpu():
        raise RuntimeError(
            f"minimax-m3-on-cpu bridges vLLM {VERSION} on a CPU, and this is {vllm.__version__} on "
            f"{current_platform.device_type}; take `vehicle:` out of the recipe"
        )
    if "flashinfer.norm" in sys.modules:
        return
    _config()
    _preprocessing()
    _norm()
    _rope()
    _router()
    _experts()


def _config() -> None:
    """The text model's own type is not in vLLM's table of configurations."""
    from vllm.transformers_utils import config  # noqa: PLC0415

    config._CONFIG_REGISTRY["minimax_m3_text"] = "MiniMaxM3TextConfig"  # noqa: SLF001 - it has no public way in


def _preprocessing() -> None:
    """Of pictures, which the text model has none of; its module wants torchvision, which has no build for this torch."""
    module: Any = ModuleType("vllm.models.minimax_m3.common.mm_preprocess")
    for name in (
        "MiniMaxM3VLDummyInputsBuilder",
        "MiniMaxM3VLMultiModalProcessor",
        "MiniMaxM3VLProcessingInfo",
    ):
        setattr(module, name, type(name, (), {}))
    sys.modules[module.__name__] = module


def _norm() -> None:
    """Gemma's norm, which the model takes from FlashInfer."""
    from . import parts  # noqa: PLC0415

    module: Any = ModuleType("flashinfer.norm")
    module.gemma_rmsnorm = parts.gemma_rmsnorm
    module.gemma_fused_add_rmsnorm = parts.gemma_fused_add_rmsnorm
    sys.modules[module.__name__] = module


def _rope() -> None:
    """The norms of queries and keys with their rotation, one fused operator of the GPU builds."""
    from vllm import _custom_ops  # noqa: PLC0415

    from . import parts  # noqa: PLC0415

    _custom_ops.fused_minimax_m3_qknorm_rope_kv_insert = parts.qknorm_rope


def _router() -> None:
    """Sigmoid scores with a bias for the choice: grouped top-k with a single group, which the CPU's router knows."""
    from vllm.model_executor.layers.fused_moe.router import cpu_router  # noqa: PLC0415

    original = cpu_router.CPURouter.__init__

    def one_group(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - vLLM's arguments
        original(self, *args, **kwargs)
        if self.scoring_func == "sigmoid" and not self.use_grouped_topk:
            self.use_grouped_topk, self.num_expert_group, self.topk_group = True, 1, 1

    cpu_router.CPURouter.__init__ = one_group


def _experts() -> None:
    """Experts that know the model's activation and an expert map: offered where vLLM offers its first class for a CPU."""
    from vllm.model_executor.layers.fused_moe.experts import cpu_moe  # noqa: PLC0415

    from .experts import TorchExperts  # noqa: PLC0415

    cpu_moe.X86CPUUnquantizedExperts = TorchExperts
