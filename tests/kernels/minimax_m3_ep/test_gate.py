"""Which layers and steps take this package's path, asked of the real vLLM's own selection."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest
import torch

from kernels.minimax_m3_ep import experts, gate
from tests.kernels.minimax_m3_ep import fakes


@pytest.fixture
def gfx942(monkeypatch):
    fakes.on(monkeypatch, "gfx942")
    fakes.load(monkeypatch, "compact-bf16")


def plain(config):
    """What vLLM chooses for BF16 weights."""
    from vllm.model_executor.layers.fused_moe.oracle.unquantized import select_unquantized_moe_backend

    return select_unquantized_moe_backend(config)[1].__name__


def mxfp8(config):
    """What it chooses for MXFP8 weights."""
    from vllm.model_executor.layers.fused_moe.oracle.mxfp8 import select_mxfp8_moe_backend

    return select_mxfp8_moe_backend(config)[1].__name__


@pytest.mark.usefixtures("gfx942")
def test_the_layer_is_taken():
    """MiniMax-M3 with EP8 on a gfx942 gets the package's classes, before vLLM's own."""
    assert plain(fakes.config()) == "MiniMaxM3EpTritonExperts"
    assert mxfp8(fakes.config()) == "MiniMaxM3EpMxfp8EmulationTritonExperts"


CHANGED: dict[str, Any] = {
    "experts": {"num_experts": 256},
    "logical experts": {"num_logical_experts": 120},
    "local experts": {"num_local_experts": 17},
    "top-k": {"experts_per_token": 8},
    "hidden size": {"hidden_dim": 4096},
    "hidden size without padding": {"hidden_dim_unpadded": 6000},
    "intermediate size": {"intermediate_size": 1536},
    "intermediate size without padding": {"intermediate_size_per_partition_unpadded": 3000},
    "SwiGLU's alpha": {"swiglu_alpha": 1.0},
    "SwiGLU's beta": {"swiglu_beta": 0.0},
    "SwiGLU's limit": {"swiglu_limit": None},
    "type of activations": {"in_dtype": torch.float16},
    "bias": {"has_bias": True},
    "LoRA": {"is_lora_enabled": True},
}
LAID_OUT: dict[str, Any] = {
    "expert parallelism": {"use_ep": False},
    "expert-parallel size": {"ep_size": 16},
    "tensor-parallel size within an expert": {"tp_size": 2},
    "data-parallel size": {"dp_size": 2},
    "prefill-context-parallel size": {"pcp_size": 2},
    "sequence parallelism": {"sp_size": 2},
    "expert load balancing": {"enable_eplb": True},
}


@pytest.mark.usefixtures("gfx942")
@pytest.mark.parametrize("name", [*CHANGED, *LAID_OUT, "activation"])
def test_every_condition_alone_refuses(name):
    """One difference is enough, and the reason names it."""
    from vllm.model_executor.layers.fused_moe.activation import MoEActivation

    changes = {"activation": MoEActivation.SWIGLUOAI} if name == "activation" else CHANGED.get(name, {})
    changed = fakes.config(fakes.parallel(**LAID_OUT.get(name, {})), **changes)
    assert str(gate.layer("gfx942", changed)).startswith(f"{name}: ")


@pytest.mark.usefixtures("gfx942")
@pytest.mark.parametrize("changes", [{"num_experts": 256, "num_logical_experts": 256}, {"hidden_dim": 4096}])
def test_vllm_keeps_its_own_class(changes):
    """Another layer gets vLLM's class, which only counts."""
    assert plain(fakes.config(**changes)) == "CountedTritonExperts"
    assert mxfp8(fakes.config(**changes)) == "CountedMxfp8EmulationTritonExperts"


ROWS = [row for row in gate.LAYOUTS if row.platform != "cpu"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.platform}-ep{row.ep_size}-{row.shape.experts}")
def test_every_row_takes_its_layer_and_nothing_else(row: gate.Layout) -> None:
    """A layer of the row is taken on its platform; one expert more or less, or another number of ranks, is none."""
    usual = {"num_experts": row.global_experts, "num_logical_experts": row.global_experts}

    def config(ep=row.ep_size, local=row.shape.experts, **changes):
        parallel = fakes.parallel(ep_size=ep, ep_rank=0, use_ep=ep > 1)
        return fakes.config(parallel, num_local_experts=local, **usual | changes)

    assert gate.layer(row.platform, config()) is row
    assert "gfx90a" in str(gate.layer("gfx90a", config()))
    assert "local experts" in str(gate.layer(row.platform, config(local=row.shape.experts + 1)))
    assert "expert-parallel size" in str(gate.layer(row.platform, config(ep=3)))
    assert "hidden size" in str(gate.layer(row.platform, config(hidden_dim=6016)))


def test_the_platform_is_named_by_what_the_device_can_do(monkeypatch):
    """On CUDA by the compute capability, so that a Hopper card is sm90 and a Blackwell one is another platform."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import PlatformEnum

    monkeypatch.setattr(type(current_platform), "_enum", PlatformEnum.CUDA)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for capability, name in (((9, 0), "sm90"), ((10, 0), "sm100")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert experts.platform() == name


@pytest.mark.usefixtures("gfx942")
def test_other_layouts_keep_it_too():
    """EP16, and no expert parallelism at all."""
    sixteen = fakes.config(fakes.parallel(ep_size=16), num_local_experts=8)
    none = fakes.config(fakes.parallel(ep_size=1, tp_size=8, use_ep=False), num_local_experts=128)
    assert [plain(one) for one in (sixteen, none)] == ["CountedTritonExperts"] * 2


@pytest.mark.parametrize("arch", ["gfx950", "gfx90a"])
def test_other_gpus_keep_it(monkeypatch, arch):
    """The gate's platform is gfx942 alone."""
    fakes.on(monkeypatch, arch)
    fakes.load(monkeypatch, "compact-bf16")
    assert plain(fakes.config()) == "CountedTritonExperts"
    assert gate.layer(arch, fakes.config()) == f"the platform is {arch}, wanted gfx942 or sm90 or cpu"


@pytest.mark.usefixtures("gfx942")
def test_lora_is_refused_where_vllm_does_not_ask():
    """With LoRA, vLLM takes the first class of the list without asking it; its steps go to vLLM's own."""
    from vllm.model_executor.layers.fused_moe.config import FusedMoEQuantConfig
    from vllm.model_executor.layers.fused_moe.oracle.unquantized import select_unquantized_moe_backend

    config = fakes.config(is_lora_enabled=True)
    found = select_unquantized_moe_backend(config)[1]
    assert found.__name__ == "MiniMaxM3EpTritonExperts"
    made = found(moe_config=config, quant_config=FusedMoEQuantConfig.make())
    assert made.layout is None
    assert made.row.refused == "LoRA: True, wanted False"


LAYOUT = next(row for row in gate.LAYOUTS if row.platform == "cpu")


def step(tokens=3, **changes):
    """A step of the tiny layer that the gate lets through, but for the changes."""
    shape = LAYOUT.shape
    usual = gate.Step(
        x=torch.zeros(tokens, shape.hidden, dtype=torch.bfloat16),
        w1=torch.zeros(shape.experts, 2 * shape.intermediate, shape.hidden, dtype=torch.bfloat16),
        w2=torch.zeros(shape.experts, shape.hidden, shape.intermediate, dtype=torch.bfloat16),
        topk_weights=torch.zeros(tokens, shape.top_k),
        topk_ids=torch.zeros(tokens, shape.top_k, dtype=torch.int32),
        expert_map=torch.zeros(LAYOUT.global_experts, dtype=torch.int32),
        activation="SWIGLUOAI_UNINTERLEAVE",
        lora=False,
        router_weight_on_input=False,
        output=torch.zeros(tokens, shape.hidden, dtype=torch.bfloat16),
    )
    return dataclasses.replace(usual, **changes)


REFUSED: dict[str, Any] = {
    "LoRA": {"lora": True},
    "the router's weight is applied on the input": {"router_weight_on_input": True},
    "activation SILU": {"activation": "SILU"},
    "no expert map": {"expert_map": None},
    "the expert map's size": {"expert_map": torch.zeros(7, dtype=torch.int32)},
    "activations in torch.float16": {"x": torch.zeros(3, 128, dtype=torch.float16)},
    "activations' shape": {"x": torch.zeros(3, 64, dtype=torch.bfloat16)},
    "activations that do not lie side by side": {"x": torch.zeros(128, 3, dtype=torch.bfloat16).T},
    "the expert map's layout": {"expert_map": torch.zeros(16, dtype=torch.int32)[::2]},
    "routes' shape": {"topk_ids": torch.zeros(3, 3, dtype=torch.int32)},
    "routes in torch.int32, not side by side or not int32": {
        "topk_ids": torch.zeros(2, 3, dtype=torch.int32).T
    },
    "routes in torch.int64, not side by side or not int32": {
        "topk_ids": torch.zeros(3, 2, dtype=torch.int64)
    },
    "routes' weights in torch.bfloat16, not side by side or not float32": {
        "topk_weights": torch.zeros(3, 2, dtype=torch.bfloat16)
    },
    "output's layout": {"output": torch.zeros(3, 128)},
    "weights in torch.float32": {"w1": torch.zeros(4, 128, 128)},
    "weights' shape": {"w2": torch.zeros(4, 64, 128, dtype=torch.bfloat16)},
    "weights whose rows do not lie side by side": {
        "w2": torch.zeros(4, 64, 128, dtype=torch.bfloat16).transpose(1, 2)
    },
}


@pytest.mark.parametrize("reason", REFUSED)
def test_every_condition_of_a_step_refuses(reason):
    """One is enough, and the reason names it."""
    assert gate.step(LAYOUT, step(**REFUSED[reason]), compressed=False) == reason


def test_a_step_is_let_through():
    """Also with weights whose rows are padded, as on ROCm, and with no tokens at all."""
    assert gate.step(LAYOUT, step(), compressed=False) is None
    assert gate.step(LAYOUT, step(0), compressed=False) is None
    padded = torch.zeros(4, 128, 160, dtype=torch.bfloat16)[..., :128]
    assert gate.step(LAYOUT, step(w1=padded), compressed=False) is None


def test_the_bound():
    """256 tokens on a GPU."""
    layout = next(row for row in gate.LAYOUTS if row.platform == "gfx942")
    assert gate.bound(layout, 256) is None
    assert gate.bound(layout, 257) == "257 tokens, at most 256"


def test_no_numbers_in_weights():
    """Both NaNs of E4M3, and the scale 255."""
    held = functools.partial(gate.weights, router_weight_on_input=False)
    good = torch.tensor([[0x00, 0x7E, 0x80, 0xFE]], dtype=torch.uint8)
    scales = torch.tensor([[0, 254]], dtype=torch.uint8)
    assert held((good, good), (scales, scales)) is None
    for nan in (0x7F, 0xFF):
        bad = good.clone()
        bad[0, 2] = nan
        assert held((good, bad), (scales, scales)) == "weights: one is NaN"
        assert held((bad.view(torch.float8_e4m3fn), good), (scales, scales)) == "weights: one is NaN"
    assert "255" in str(held((good, good), (scales, torch.tensor([[255]], dtype=torch.uint8))))


@pytest.mark.usefixtures("gfx942")
def test_batch_invariance_is_not_promised(monkeypatch):
    """The tile depends on the number of tokens, so that vLLM's own class is taken where invariance is asked for."""
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    assert plain(fakes.config()) == "CountedTritonExperts"
