"""What this package takes for granted about vLLM, checked before it is patched: versions, functions, their parameters.

A version that is not named here may have moved or changed any of it without an error: weights in another order, a map
with another meaning. So it is refused, also where all names still exist. To support one, read its sources where the names
below point, run `tests/kernels` against it, and add it.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

VERSIONS = ("0.32.0",)
_MOE = "vllm.model_executor.layers.fused_moe"
_APPLY = (
    "self",
    "output",
    "hidden_states",
    "w1",
    "w2",
    "topk_weights",
    "topk_ids",
    "activation",
    "global_num_experts",
    "expert_map",
    "a1q_scale",
    "a2_scale",
    "workspace13",
    "workspace2",
    "expert_tokens_meta",
    "apply_router_weight_on_input",
)
_SUPPORTED = ("cls", "moe_config", "weight_key", "activation_key", "activation_format")
_INIT = ("self", "moe_config", "quant_config")
_TRITON = f"{_MOE}.experts.triton_moe:TritonExperts"
_EMULATION = f"{_MOE}.experts.mxfp8_emulation_moe:Mxfp8EmulationTritonExperts"
_METHOD = "vllm.model_executor.layers.quantization.modelopt:ModelOptMxFp8FusedMoE"
SIGNATURES = {
    f"{_MOE}.oracle.unquantized:backend_to_kernel_cls": ("backend",),
    f"{_MOE}.oracle.mxfp8:_mxfp8_backend_to_kernel_cls": ("backend",),
    "vllm.model_executor.layers.quantization.modelopt:select_mxfp8_moe_backend": ("config",),
    f"{_METHOD}._dequant_mxfp8_weights_to_bf16": ("self", "layer"),
    f"{_METHOD}.process_weights_after_loading": ("self", "layer"),
    **{f"{one}.apply": _APPLY for one in (_TRITON, _EMULATION)},
    **{f"{one}.is_supported_config": _SUPPORTED for one in (_TRITON, _EMULATION)},
    **{f"{one}.__init__": _INIT for one in (_TRITON, _EMULATION)},
}
"""Functions that are replaced, or stood before: where, and the names of their parameters."""
NAMES = (
    f"{_MOE}.oracle.unquantized:UnquantizedMoeBackend.TRITON",
    f"{_MOE}.oracle.unquantized:UnquantizedMoeBackend.CPU",
    f"{_MOE}.oracle.fp8:Fp8MoeBackend.EMULATION",
    f"{_MOE}.oracle.fp8:Fp8MoeBackend.MARLIN",
    f"{_MOE}.modular_kernel:FusedMoEActivationFormat.Standard",
    "vllm.model_executor.layers.quantization.utils.quant_utils:kMxfp8Static",
    "vllm.model_executor.layers.quantization.utils.quant_utils:kMxfp8Dynamic",
    f"{_MOE}.activation:MoEActivation.SWIGLUOAI_UNINTERLEAVE",
    f"{_MOE}.experts.lora_experts_mixin:LoRAExpertsMixin._lora_context",
    f"{_MOE}.modular_kernel:FusedMoEExperts._supports_batch_invariance",
)
FIELDS = {
    f"{_MOE}.config:FusedMoEConfig": (
        "moe_parallel_config",
        "num_experts",
        "num_logical_experts",
        "num_local_experts",
        "experts_per_token",
        "hidden_dim",
        "hidden_dim_unpadded",
        "intermediate_size_per_partition",
        "intermediate_size_per_partition_unpadded",
        "activation",
        "swiglu_alpha",
        "swiglu_beta",
        "swiglu_limit",
        "in_dtype",
        "has_bias",
        "is_lora_enabled",
        "device",
        "moe_backend",
    ),
    f"{_MOE}.config:FusedMoEParallelConfig": (
        "use_ep",
        "ep_size",
        "tp_size",
        "dp_size",
        "pcp_size",
        "is_sequence_parallel",
        "enable_eplb",
    ),
}
"""What the gate reads of a layer."""


def check() -> None:
    """Hold this process's vLLM against all of it.

    Raises:
        RuntimeError: with the first difference and what to do.
    """
    import vllm  # noqa: PLC0415 - see `plugin`

    version = vllm.__version__
    if version.split("+", maxsplit=1)[0] not in VERSIONS:
        raise _unknown(version, f"it knows {', '.join(VERSIONS)}")
    for where, names in SIGNATURES.items():
        found = tuple(inspect.signature(_find(version, where)).parameters)
        if found != names:
            raise _unknown(version, f"{where} takes ({', '.join(found)}), not ({', '.join(names)})")
    for where in NAMES:
        _find(version, where)
    for where, names in FIELDS.items():
        kind = _find(version, where)
        known = {*kind.__dataclass_fields__, *vars(kind)}
        missing = [name for name in names if name not in known]
        if missing:
            raise _unknown(version, f"{where} has no {missing[0]}")


def _find(version: str, where: str) -> Any:  # noqa: ANN401 - whatever it is
    module, path = where.split(":")
    try:
        found = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise _unknown(version, f"it has no {where} ({error})") from error
    return found


def _unknown(version: str, difference: str) -> RuntimeError:
    return RuntimeError(
        f"minimax-m3-ep does not know vLLM {version}: {difference}. Nothing was patched. "
        "Take an image with a version that it knows, or a recipe without `kernel:`; "
        "minimax_m3_ep/symbols.py says how to support another one."
    )
