"""Which layers and which steps take this package's path: all of the conditions, and nothing but them.

A layer is looked at when vLLM chooses its experts class, before any weight is loaded (`layer`), its weights once they
are there (`weights`), and every step (`step`). What one of them refuses takes vLLM's own path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .reference import NAN_BYTES, NAN_SCALE
from .shapes import MINIMAX_M3, MINIMAX_M3_32, TINY, TINY_2, Shape

ACTIVATION = "SWIGLUOAI_UNINTERLEAVE"
"""vLLM's name for SwiGLU-OAI with all gates before all ups."""
DTYPE = "torch.bfloat16"


@dataclass(frozen=True)
class Layout:
    """One layer of a platform that this package computes."""

    platform: str
    """The compiler's name of the GPU, or cpu."""
    shape: Shape
    global_experts: int
    ep_size: int
    """1 where one GPU has them all; then there is no expert parallelism, and vLLM hands in no map."""
    tokens: int
    """The most of a step: above it, decode's tiles have no advantage."""


LAYOUTS = (
    Layout("gfx942", MINIMAX_M3, global_experts=128, ep_size=8, tokens=256),
    Layout("gfx942", MINIMAX_M3_32, global_experts=128, ep_size=4, tokens=256),
    Layout("sm90", MINIMAX_M3, global_experts=128, ep_size=8, tokens=256),
    Layout("sm90", MINIMAX_M3_32, global_experts=128, ep_size=4, tokens=256),
    Layout("sm90", MINIMAX_M3, global_experts=64, ep_size=4, tokens=128),
    Layout("sm90", MINIMAX_M3_32, global_experts=64, ep_size=2, tokens=128),
    Layout("sm90", MINIMAX_M3, global_experts=32, ep_size=2, tokens=64),
    Layout("sm90", MINIMAX_M3_32, global_experts=32, ep_size=1, tokens=64),
    Layout("cpu", TINY, global_experts=8, ep_size=2, tokens=64),
    Layout("cpu", TINY_2, global_experts=8, ep_size=4, tokens=64),
)
"""Every layer that is computed here. Models with fewer experts than MiniMax-M3 keep its local layer on fewer GPUs; their
experts have more rows each, so that decode's tiles are of use for fewer tokens."""


def layer(platform: str, config: Any) -> Layout | str:  # noqa: ANN401 - vLLM's FusedMoEConfig; its fields are checked at load
    """The layout that a layer is, else the first difference from the nearest one of its platform.

    Args:
        platform: see `Layout.platform`.
        config: vLLM's `FusedMoEConfig` of the layer.
    """
    rows = [row for row in LAYOUTS if row.platform == platform]
    if not rows:
        known = dict.fromkeys(row.platform for row in LAYOUTS)
        return f"the platform is {platform}, wanted {' or '.join(known)}"
    differences = [(_differences(row, config), row) for row in rows]
    found, nearest = min(differences, key=lambda pair: len(pair[0]))
    return found[0] if found else nearest


def _differences(layout: Layout, config: Any) -> list[str]:  # noqa: ANN401
    """In what a layer differs from a layout."""
    parallel = config.moe_parallel_config
    shape = layout.shape
    found_and_wanted: dict[str, tuple[object, object]] = {
        "expert parallelism": (parallel.use_ep, layout.ep_size > 1),
        "expert-parallel size": (parallel.ep_size, layout.ep_size),
        "tensor-parallel size within an expert": (parallel.tp_size, 1),
        "data-parallel size": (parallel.dp_size, 1),
        "prefill-context-parallel size": (parallel.pcp_size, 1),
        "sequence parallelism": (parallel.is_sequence_parallel, False),
        "expert load balancing": (parallel.enable_eplb, False),
        "experts": (config.num_experts, layout.global_experts),
        "logical experts": (config.num_logical_experts, layout.global_experts),
        "local experts": (config.num_local_experts, shape.experts),
        "top-k": (config.experts_per_token, shape.top_k),
        "hidden size": (config.hidden_dim, shape.hidden),
        "hidden size without padding": (config.hidden_dim_unpadded, shape.hidden),
        "intermediate size": (config.intermediate_size_per_partition, shape.intermediate),
        "intermediate size without padding": (
            config.intermediate_size_per_partition_unpadded,
            shape.intermediate,
        ),
        "activation": (config.activation.name, ACTIVATION),
        "SwiGLU's alpha": (config.swiglu_alpha, shape.alpha),
        "SwiGLU's beta": (config.swiglu_beta, shape.beta),
        "SwiGLU's limit": (config.swiglu_limit, shape.limit),
        "type of activations": (str(config.in_dtype), DTYPE),
        "bias": (config.has_bias, False),
        "LoRA": (config.is_lora_enabled, False),
    }
    return [
        f"{name}: {found}, wanted {wanted}"
        for name, (found, wanted) in found_and_wanted.items()
        if found != wanted
    ]


def weights(
    values: tuple[torch.Tensor, ...], scales: tuple[torch.Tensor, ...], *, router_weight_on_input: bool
) -> str | None:
    """Why compressed weights cannot be kept.

    A NaN of E4M3 (0x7f, 0xff); the E8M0 scale 255, which stands for none; steps that could not be computed with them.
    """
    if router_weight_on_input:
        return "the router's weight is applied on the input"
    for experts in values:
        for one in experts:  # one at a time, because the comparison takes memory
            if bool(((one.view(torch.uint8) & 0x7F) == NAN_BYTES[0]).any()):
                return "weights: one is NaN"
    if any(bool((one.view(torch.uint8) == NAN_SCALE).any()) for one in scales):
        return f"scales: one is {NAN_SCALE}, which stands for no number"
    return None


@dataclass(frozen=True)
class Step:
    """What vLLM hands to a layer's experts, as far as it can differ from step to step."""

    x: torch.Tensor
    w1: torch.Tensor
    w2: torch.Tensor
    topk_weights: torch.Tensor
    topk_ids: torch.Tensor
    expert_map: torch.Tensor | None
    activation: str
    """Its name."""
    lora: bool
    router_weight_on_input: bool
    output: torch.Tensor

    @property
    def tokens(self) -> int:
        """Rows of the step."""
        return self.x.shape[0]


def step(layout: Layout, step: Step, *, compressed: bool) -> str | None:
    """Why a step of any size does not take this package's path.

    Args:
        layout: of the layer.
        step: to look at.
        compressed: the layer has no other weights, so that what is refused here is an error.
    """
    shape = layout.shape
    width = torch.uint8 if compressed else torch.bfloat16
    w1, w2 = (one.view(torch.uint8) if compressed else one for one in (step.w1, step.w2))
    mapped = step.expert_map
    refused = {
        "LoRA": step.lora,
        "the router's weight is applied on the input": step.router_weight_on_input,
        f"activation {step.activation}": step.activation != ACTIVATION,
        "no expert map": mapped is None,
        "the expert map's size": mapped is not None and mapped.shape != (layout.global_experts,),
        "the expert map's layout": mapped is not None and not _plain(mapped, torch.int32),
        f"activations in {step.x.dtype}": str(step.x.dtype) != DTYPE,
        "activations' shape": step.x.ndim != 2 or step.x.shape[1] != shape.hidden,  # noqa: PLR2004
        "activations that do not lie side by side": step.x.stride(-1) != 1,
        "routes' shape": (step.topk_ids.shape, step.topk_weights.shape) != ((step.tokens, shape.top_k),) * 2,
        f"routes in {step.topk_ids.dtype}, not side by side or not int32": not _plain(
            step.topk_ids, torch.int32
        ),
        f"routes' weights in {step.topk_weights.dtype}, not side by side or not float32": not _plain(
            step.topk_weights, torch.float32
        ),
        "output's layout": step.output.shape != step.x.shape
        or step.output.dtype != step.x.dtype
        or step.output.stride(-1) != 1,
        f"weights in {w1.dtype}": (w1.dtype, w2.dtype) != (width, width),
        "weights' shape": (tuple(w1.shape), tuple(w2.shape))
        != (
            (shape.experts, 2 * shape.intermediate, shape.hidden),
            (shape.experts, shape.hidden, shape.intermediate),
        ),
        "weights whose rows do not lie side by side": (w1.stride(-1), w2.stride(-1)) != (1, 1),
    }
    return next((reason for reason, holds in refused.items() if holds), None)


def _plain(one: torch.Tensor, dtype: torch.dtype) -> bool:
    return one.dtype == dtype and one.is_contiguous()


def bound(layout: Layout, tokens: int) -> str | None:
    """Why a step of a layer with BF16 weights is too large; one with compressed weights has tiles for every size."""
    return f"{tokens} tokens, at most {layout.tokens}" if tokens > layout.tokens else None
