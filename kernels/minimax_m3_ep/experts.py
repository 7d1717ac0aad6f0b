"""What vLLM constructs for a layer: its own experts class, with this package's path put before `apply`.

Two mixins stand before a class of vLLM's. `Patched` says that it supports the layers that the gate lets through, and
computes their steps; `Counted` supports what vLLM's class does, and only counts, so that a worker that never takes this
package's path can prove it. Both leave everything else to the class behind them.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch

from . import card, gate, reference
from .marker import MARKER
from .routing import Routing
from .weights import Weights

ROWS = 16
"""Of a block, as the reference counts them: so many have most of the kernels' tiles."""
log = logging.getLogger("vllm.minimax_m3_ep")
"""Below vLLM's own logger, whose handlers and format it has."""


def platform() -> str:
    """The compiler's name of the GPU that vLLM runs on (gfx942, sm90), cpu, or what else vLLM calls the platform."""
    from vllm.platforms import current_platform  # noqa: PLC0415 - vLLM is there when this is asked

    if current_platform.is_rocm() or current_platform.is_cuda():
        return card.arch(rocm=current_platform.is_rocm())
    return str(current_platform.device_type)


def on_cpu(x: torch.Tensor) -> bool:
    """Where the reference stands for the kernels."""
    return bool(x.device.type == "cpu")


class Patched:
    """A mixin before a class of vLLM's experts, for the layers that the gate lets through."""

    behind: type
    """The class of vLLM's."""
    variant: str

    @staticmethod
    def _supports_batch_invariance() -> bool:
        """No: the number of tokens decides the tile, and so the order of sums."""
        return False

    @staticmethod
    def is_supported_config(
        cls: Any,  # noqa: ANN401, PLW0211 - vLLM's own way: a static method that gets the class
        moe_config: Any,  # noqa: ANN401
        weight_key: Any,  # noqa: ANN401
        activation_key: Any,  # noqa: ANN401
        activation_format: Any,  # noqa: ANN401
    ) -> tuple[bool, str | None]:
        """Whether the layer is one that the gate lets through, and vLLM's own class could compute."""
        found = gate.layer(platform(), moe_config)
        if isinstance(found, str):
            return False, f"this package computes another layer ({found})"
        supported: tuple[bool, str | None] = cls.behind.is_supported_config(
            cls, moe_config, weight_key, activation_key, activation_format
        )
        return supported

    def __init__(self, moe_config: Any, quant_config: Any) -> None:  # noqa: ANN401
        super().__init__(moe_config, quant_config)  # type: ignore[call-arg] # the mixin's other base is vLLM's class
        self.platform = platform()
        found = gate.layer(
            self.platform, moe_config
        )  # again: with LoRA, vLLM constructs without having asked
        self.layout = None if isinstance(found, str) else found
        self.row = MARKER.join(torch.device(moe_config.device), None if self.layout else str(found))
        self.whole: torch.Tensor | None = None
        """The map of a layer without expert parallelism: each expert is its own local one."""
        if self.layout is not None:
            if self.layout.ep_size == 1:
                experts = self.layout.global_experts
                self.whole = torch.arange(experts, dtype=torch.int32, device=moe_config.device)
            MARKER.about |= {"bound": self.layout.tokens, "local_experts": self.layout.shape.experts}
        self.compressed: Weights | None = None
        """Once `keep_compressed` has them."""
        self.is_warm = False

    def keep_compressed(self, layer: torch.nn.Module) -> bool:
        """At load, instead of widening all weights to BF16: keep the checkpoint's bytes, if the gate lets it.

        From then on the layer has no other weights. Only the scales are laid anew, in place of the checkpoint's.
        """
        if self.layout is None or self.variant != "mxfp8":
            return False
        parts: Any = layer
        values = (parts.w13_weight.data, parts.w2_weight.data)
        scales = (parts.w13_weight_scale.data, parts.w2_weight_scale.data)
        refused = gate.weights(values, scales, router_weight_on_input=parts.apply_router_weight_on_input)
        if refused:
            self._refuse(refused)
            return False
        self.compressed = Weights.compressed(self.layout.shape, values[0], scales[0], values[1], scales[1])
        parts.w13_weight_scale.data, parts.w2_weight_scale.data = self.compressed.s1, self.compressed.s2
        self.w1_scale_val = self.w2_scale_val = None  # vLLM's class would keep the checkpoint's layout alive
        return True

    def apply(
        self,
        output: torch.Tensor,
        hidden_states: torch.Tensor,
        w1: torch.Tensor,
        w2: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        activation: Any,  # noqa: ANN401
        global_num_experts: int,
        expert_map: torch.Tensor | None,
        a1q_scale: torch.Tensor | None,
        a2_scale: torch.Tensor | None,
        workspace13: torch.Tensor,
        workspace2: torch.Tensor,
        expert_tokens_meta: Any,  # noqa: ANN401
        apply_router_weight_on_input: bool,  # noqa: FBT001
    ) -> None:
        """A step of the layer: here if the gate lets it through, else by vLLM's class."""
        tokens = hidden_states.shape[0]
        mapped = self.whole if expert_map is None else expert_map
        refused: str | None = "the layer"
        if self.layout is not None and self.variant == "mxfp8" and self.compressed is None:
            self._refuse("its weights were not loaded by the method that keeps them compressed")
        if self.layout is not None:
            lora = getattr(self, "_lora_context", None) is not None
            step = gate.Step(
                hidden_states,
                w1,
                w2,
                topk_weights,
                topk_ids,
                mapped,
                activation.name,
                lora,
                apply_router_weight_on_input,
                output,
            )
            refused = gate.step(self.layout, step, compressed=self.compressed is not None)
            if refused is None:
                self._warm(w1, w2, step)
                refused = None if self.compressed else gate.bound(self.layout, tokens)
        if refused is None:
            assert mapped is not None  # noqa: S101 - the gate looked
            self._compute(hidden_states, w1, w2, Routing(topk_weights, topk_ids, mapped), output)
            return
        if self.compressed is not None:
            raise RuntimeError(
                f"minimax-m3-ep holds this layer's weights compressed, and vLLM asks for a step that it cannot do: {refused}"
            )
        super().apply(  # type: ignore[misc] # see above
            output,
            hidden_states,
            w1,
            w2,
            topk_weights,
            topk_ids,
            activation,
            global_num_experts,
            expert_map,
            a1q_scale,
            a2_scale,
            workspace13,
            workspace2,
            expert_tokens_meta,
            apply_router_weight_on_input,
        )
        self.row.fell_back(tokens)

    def _refuse(self, reason: str) -> None:
        """A layer of the variant `mxfp8` that vLLM computes from now on."""
        log.warning("minimax-m3-ep keeps no compressed weights: %s; vLLM widens this layer", reason)
        MARKER.refuse(self.row, reason)
        self.layout = None

    def _warm(self, w1: torch.Tensor, w2: torch.Tensor, step: gate.Step) -> None:
        """Compile at the first step, which vLLM makes to measure its memory: long before a load."""
        if self.is_warm or on_cpu(step.x) or step.expert_map is None:
            return
        from . import steps  # noqa: PLC0415 - needs Triton, which a CPU build of vLLM lacks

        self.is_warm = True
        assert self.layout is not None  # noqa: S101 - `apply` looked
        steps.warm(
            self.platform,
            self.variant,
            self.compressed or Weights(self.layout.shape, w1, w2),
            step.expert_map,
        )

    def _compute(
        self, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, routing: Routing, out: torch.Tensor
    ) -> None:
        if x.shape[0] == 0:
            return  # vLLM may ask every rank to take part in another's step
        counter = self.row.taken(x.shape[0])
        assert self.layout is not None  # noqa: S101 - the gate looked
        if on_cpu(x):
            if self.compressed is not None:
                w1, w2 = self.compressed.widened()
            out.copy_(reference.layer(x, w1, w2, routing, self.layout.shape, exact=False))
            counter.add_(reference.counted(routing, ROWS))
            return
        from . import steps  # noqa: PLC0415 - see above

        weights = self.compressed or Weights(self.layout.shape, w1, w2)
        steps.compute(self.platform, self.variant, weights, x, routing, out=out, counter=counter)


class Counted:
    """A mixin before a class of vLLM's experts that only counts its steps."""

    behind: type
    reason: str
    """Why, if the layer itself is not it."""

    def __init__(self, moe_config: Any, quant_config: Any) -> None:  # noqa: ANN401
        super().__init__(moe_config, quant_config)  # type: ignore[call-arg] # the mixin's other base is vLLM's class
        found = gate.layer(platform(), moe_config)
        reason = found if isinstance(found, str) else self.reason
        self.row = MARKER.join(torch.device(moe_config.device), reason)

    def apply(self, output: torch.Tensor, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """A step, by vLLM's class."""
        made = super().apply(output, hidden_states, *args, **kwargs)  # type: ignore[misc] # see above
        self.row.fell_back(hidden_states.shape[0])
        return made


@cache
def patched(behind: type, variant: str) -> type:
    """A class of vLLM's with this package's path before its own."""
    return type(f"MiniMaxM3Ep{behind.__name__}", (Patched, behind), {"behind": behind, "variant": variant})


@cache
def counted(behind: type, reason: str = "vLLM chose another class") -> type:
    """A class of vLLM's that counts its steps."""
    return type(f"Counted{behind.__name__}", (Counted, behind), {"behind": behind, "reason": reason})
