"""What vLLM calls when it loads this package: checks that it is a vLLM that the package knows, then patches it.

Four functions of vLLM's are replaced, no file of it is edited: the two that name the experts classes of a backend, so
that this package's are offered first; the one that chooses a backend for MXFP8 weights, because on Hopper it takes Marlin's,
which lays the weights anew; and the one that widens MXFP8 weights at load, so that a layer that keeps them compressed never
has them in BF16. vLLM calls `register` in each of its processes, and may call it twice.

vLLM's log says `Failed to load plugin` of a plugin that cannot be imported, and starts without it. An error out of
`register` ends it. So nothing of vLLM's or torch's is imported before `register` runs.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

VARIANT = "SERVEMATRIX_KERNEL_VARIANT"
_MARK = "_minimax_m3_ep"


def register() -> None:
    """Patch this process's vLLM.

    Raises:
        RuntimeError: for a vLLM that this package does not know, or a variant that it does not have, before anything is patched.
    """
    from . import VARIANTS, symbols  # noqa: PLC0415 - see above

    variant = os.environ.get(VARIANT, "")
    if variant not in VARIANTS:
        raise RuntimeError(
            f"minimax-m3-ep: {VARIANT} is {variant!r}; it must be one of {', '.join(VARIANTS)}"
        )
    symbols.check()

    from vllm.model_executor.layers.fused_moe.oracle import mxfp8, unquantized  # noqa: PLC0415
    from vllm.model_executor.layers.fused_moe.oracle.fp8 import Fp8MoeBackend  # noqa: PLC0415
    from vllm.model_executor.layers.quantization import modelopt  # noqa: PLC0415

    if hasattr(mxfp8._mxfp8_backend_to_kernel_cls, _MARK):  # noqa: SLF001 - vLLM has no public way to offer experts
        return
    _tell_about(variant)
    backends = unquantized.UnquantizedMoeBackend
    offered = _offer(mxfp8._mxfp8_backend_to_kernel_cls, (Fp8MoeBackend.EMULATION,), variant)  # noqa: SLF001
    compressing = _keep_compressed(modelopt.ModelOptMxFp8FusedMoE._dequant_mxfp8_weights_to_bf16)  # noqa: SLF001
    chosen = _before_marlin(modelopt.select_mxfp8_moe_backend, variant)
    plain = _offer(unquantized.backend_to_kernel_cls, (backends.TRITON, backends.CPU), variant, is_bf16=True)
    unquantized.backend_to_kernel_cls = plain
    mxfp8._mxfp8_backend_to_kernel_cls = offered  # noqa: SLF001
    modelopt.ModelOptMxFp8FusedMoE._dequant_mxfp8_weights_to_bf16 = compressing  # noqa: SLF001
    modelopt.select_mxfp8_moe_backend = chosen


def _tell_about(variant: str) -> None:
    from vllm import __version__  # noqa: PLC0415 - see above

    from .marker import MARKER  # noqa: PLC0415

    MARKER.about = {"kernel": "minimax-m3-ep", "variant": variant, "vllm": __version__}


def _offer(
    original: Callable[[Any], list[type]], backends: tuple[Any, ...], variant: str, *, is_bf16: bool = False
) -> Callable[[Any], list[type]]:
    """VLLM's list of a backend's experts classes, with this package's before it.

    Layers that a variant has nothing for are counted all the same, so that none of a model is out of sight.
    """

    @functools.wraps(original)
    def with_ours(backend: Any) -> list[type]:  # noqa: ANN401 - an enumeration of vLLM's
        from .experts import counted, patched  # noqa: PLC0415
        from .marker import MARKER  # noqa: PLC0415

        MARKER.listen()  # this process builds layers: it is a worker
        known = original(backend)
        if backend not in backends:
            return known
        if is_bf16 and variant == "mxfp8":
            return [counted(known[0], "its weights are not MXFP8"), *known]
        return [patched(known[0], variant), counted(known[0]), *known]

    setattr(with_ours, _MARK, True)
    return with_ours


def _before_marlin(
    original: Callable[[Any], tuple[Any, Any]], variant: str
) -> Callable[[Any], tuple[Any, Any]]:
    """VLLM's choice for a layer with MXFP8 weights, but this package's class where that would be Marlin's.

    On Hopper vLLM has no other one that takes such weights. Marlin's lays them anew for its own products, so that nothing
    can be offered behind it; the backend that leaves them as they are is asked for instead.
    """

    @functools.wraps(original)
    def with_ours(config: Any) -> tuple[Any, Any]:  # noqa: ANN401 - vLLM's FusedMoEConfig
        from vllm.model_executor.layers.fused_moe.experts.mxfp8_emulation_moe import (  # noqa: PLC0415
            Mxfp8EmulationTritonExperts,
        )
        from vllm.model_executor.layers.fused_moe.modular_kernel import FusedMoEActivationFormat  # noqa: PLC0415
        from vllm.model_executor.layers.fused_moe.oracle.fp8 import Fp8MoeBackend  # noqa: PLC0415
        from vllm.model_executor.layers.quantization.utils import quant_utils  # noqa: PLC0415

        from .experts import Patched, patched  # noqa: PLC0415
        from .marker import MARKER  # noqa: PLC0415

        MARKER.listen()
        backend, known = original(config)
        if variant != "mxfp8" or backend is not Fp8MoeBackend.MARLIN or config.moe_backend != "auto":
            return backend, known
        ours: type[Patched] = patched(Mxfp8EmulationTritonExperts, variant)
        keys = quant_utils.kMxfp8Static, quant_utils.kMxfp8Dynamic
        is_ours, _ = ours.is_supported_config(ours, config, *keys, FusedMoEActivationFormat.Standard)
        return (Fp8MoeBackend.EMULATION, ours) if is_ours else (backend, known)

    setattr(with_ours, _MARK, True)
    return with_ours


def _keep_compressed(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """VLLM's widening at load, for the layers that do not keep their weights as they are."""

    @functools.wraps(original)
    def keep_or_widen(self: Any, layer: Any) -> None:  # noqa: ANN401 - vLLM's method and layer
        from .experts import Patched  # noqa: PLC0415

        experts = self.moe_kernel.fused_experts
        if not (isinstance(experts, Patched) and experts.keep_compressed(layer)):
            original(self, layer)

    setattr(keep_or_widen, _MARK, True)
    return keep_or_widen
