"""What stands on a CPU for vLLM's own path: every expert in torch, remote routes left out."""

from __future__ import annotations

from typing import Any

import torch
import vllm.model_executor.layers.fused_moe.modular_kernel as mk
from vllm.model_executor.layers.fused_moe.activation import MoEActivation
from vllm.model_executor.layers.fused_moe.topk_weight_and_reduce import TopKWeightAndReduceNoOP
from vllm.platforms import current_platform


class TorchExperts(mk.FusedMoEExpertsModular):  # type: ignore[misc] # vLLM is not in the linter's environment
    """SwiGLU-OAI experts without quantization."""

    @staticmethod
    def activation_format() -> Any:  # noqa: ANN401 - an enumeration of vLLM's
        """Tokens, not batches of experts."""
        return mk.FusedMoEActivationFormat.Standard

    @staticmethod
    def _supports_current_device() -> bool:
        return bool(current_platform.is_cpu())

    @staticmethod
    def _supports_no_act_and_mul() -> bool:
        return False

    @staticmethod
    def _supports_quant_scheme(weight_key: object, activation_key: object) -> bool:
        return (weight_key, activation_key) == (None, None)

    @staticmethod
    def _supports_activation(activation: object) -> bool:
        return activation is MoEActivation.SWIGLUOAI_UNINTERLEAVE

    @staticmethod
    def _supports_parallel_config(moe_parallel_config: Any) -> bool:  # noqa: ANN401
        return not moe_parallel_config.use_all2all_kernels

    def finalize_weight_and_reduce_impl(self) -> Any:  # noqa: ANN401
        """Nothing is left to do."""
        return TopKWeightAndReduceNoOP()

    def workspace_shapes(self, M: int, N: int, K: int, *_: object) -> tuple[tuple[int, ...], ...]:  # noqa: ARG002, N803
        """No scratch."""
        return (0,), (0,), (M, K)

    def apply(
        self,
        output: torch.Tensor,
        hidden_states: torch.Tensor,
        w1: torch.Tensor,
        w2: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        activation: Any,  # noqa: ANN401, ARG002
        global_num_experts: int,  # noqa: ARG002
        expert_map: torch.Tensor | None,
        *_: object,
        **__: object,
    ) -> None:
        """Every local expert on its tokens."""
        limit, alpha, beta = (
            self.activation_config.clamp_limit,
            self.activation_config.alpha,
            self.activation_config.beta,
        )
        local = topk_ids.long() if expert_map is None else expert_map[topk_ids.long()]
        total = torch.zeros(output.shape, dtype=torch.float32)
        for expert in local.unique().tolist():
            if expert < 0:
                continue
            token, k = (local == expert).nonzero(as_tuple=True)
            gate, up = (hidden_states[token] @ w1[expert].T).float().chunk(2, dim=-1)
            gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
            inner = ((up + beta) * gate * torch.sigmoid(alpha * gate)).to(w2.dtype)
            total.index_add_(
                0, token, (inner @ w2[expert].T).float() * topk_weights[token, k].float()[:, None]
            )
        output.copy_(total)
