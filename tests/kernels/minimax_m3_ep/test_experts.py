"""What vLLM constructs: which path a step takes, what is counted, and that compressed weights have no second copy."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernels.minimax_m3_ep import experts as experts_module
from kernels.minimax_m3_ep import gate, layer, marker, reference, steps, tiles
from kernels.minimax_m3_ep.experts import counted, patched
from kernels.minimax_m3_ep.marker import MARKER
from kernels.minimax_m3_ep.routing import Routing
from kernels.minimax_m3_ep.shapes import TINY
from kernels.minimax_m3_ep.weights import Weights
from tests.kernels.minimax_m3_ep import cases, fakes

ACTIVATION = SimpleNamespace(name="SWIGLUOAI_UNINTERLEAVE")


class Stock:
    """Stands for a class of vLLM's: says that it was asked."""

    def __init__(self, moe_config, quant_config):
        self.moe_config = moe_config
        self.quant_config = quant_config

    def apply(self, output, *_args, **_kwargs):
        """Leave a sign."""
        output.fill_(7.0)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(MARKER, "rows", [])


def routing(tokens, seed=0):
    """Random routes of the tiny layer, half of them remote."""
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.rand(tokens, 8, generator=drawn).topk(2, dim=1).indices.int()
    expert_map = torch.tensor([-1, 0, 1, -1, 2, -1, 3, -1], dtype=torch.int32)
    return Routing(torch.rand(tokens, 2, generator=drawn), ids.contiguous(), expert_map)


def weights(seed=0):
    """BF16, of the size that trained ones have."""
    drawn = torch.Generator().manual_seed(seed)
    shapes = (4, 2 * TINY.intermediate, TINY.hidden), (4, TINY.hidden, TINY.intermediate)
    return [(torch.randn(*size, generator=drawn) / 8).bfloat16() for size in shapes]


def apply(experts, tokens, w1, w2, **changes):
    """A step as vLLM asks for it, into a poisoned output."""
    x = (torch.randn(tokens, TINY.hidden, generator=torch.Generator().manual_seed(tokens)) / 2).bfloat16()
    routes = routing(tokens)
    out = torch.full((tokens, TINY.hidden), float("nan"), dtype=torch.bfloat16)
    usual = {
        "output": out, "hidden_states": x, "w1": w1, "w2": w2, "topk_weights": routes.weights, "topk_ids": routes.ids,
        "activation": ACTIVATION, "global_num_experts": 8, "expert_map": routes.expert_map, "a1q_scale": None,
        "a2_scale": None, "workspace13": x, "workspace2": x, "expert_tokens_meta": None,
        "apply_router_weight_on_input": False,
    }  # fmt: skip
    experts.apply(**usual | changes)
    return out, reference.layer(x, w1, w2, routes, TINY, exact=False) if w1.dtype == torch.bfloat16 else (
        x,
        routes,
    )


def test_paths_and_their_counts():
    """Up to the bound it is this package's, above it vLLM's; both are counted with their sizes, an empty step is neither."""
    one = patched(Stock, "compact-bf16")(fakes.tiny(), None)
    w1, w2 = weights()
    for tokens in (0, 1, 64, 64):
        out, wanted = apply(one, tokens, w1, w2)
        assert torch.equal(out, wanted), tokens
    for tokens in (65, 2000):
        out, _ = apply(one, tokens, w1, w2)
        assert bool((out == 7.0).all())
    found = MARKER.answer()
    assert found["taken"] == {1: 1, 64: 2}
    assert found["fallback"] == {65: 1, 2048: 1}
    assert found["taken_most"] == found["taken"]
    assert found["layers"] == {"gated": 1, "refused": {}}
    assert found["bound"] == 64


@pytest.mark.parametrize("changes", [{"apply_router_weight_on_input": True}, {"expert_map": None}])
def test_what_the_gate_refuses_is_vllms(changes):
    """Nothing of it is computed here."""
    one = patched(Stock, "compact-bf16")(fakes.tiny(), None)
    out, _ = apply(one, 3, *weights(), **changes)
    assert bool((out == 7.0).all())
    assert (MARKER.answer()["taken"], MARKER.answer()["fallback"]) == ({}, {3: 1})


def test_one_gpu_has_all_experts_and_no_map(monkeypatch):
    """Without expert parallelism vLLM hands in no map: each expert is its own local one. Above the bound vLLM gets what it handed in."""
    shape = dataclasses.replace(TINY, experts=8)
    monkeypatch.setattr(gate, "LAYOUTS", (gate.Layout("cpu", shape, global_experts=8, ep_size=1, tokens=64),))
    handed = []

    class Asked(Stock):
        def apply(self, output, *args, **kwargs):
            handed.append(args[7])
            super().apply(output, *args, **kwargs)

    whole = fakes.tiny(moe_parallel_config=fakes.parallel(ep_size=1, ep_rank=0, use_ep=False), num_local_experts=8)  # fmt: skip
    one = patched(Asked, "compact-bf16")(whole, None)
    drawn = torch.Generator().manual_seed(1)
    sizes = (8, 2 * shape.intermediate, shape.hidden), (8, shape.hidden, shape.intermediate)
    w1, w2 = ((torch.randn(*size, generator=drawn) / 8).bfloat16() for size in sizes)
    for tokens in (1, 3, 64):
        x = (torch.randn(tokens, TINY.hidden, generator=torch.Generator().manual_seed(tokens)) / 2).bfloat16()
        routes = routing(tokens)._replace(expert_map=torch.arange(8, dtype=torch.int32))
        wanted = reference.layer(x, w1, w2, routes, shape, exact=False)
        out, _ = apply(one, tokens, w1, w2, expert_map=None)
        assert torch.equal(out, wanted), tokens
    out, _ = apply(one, 65, w1, w2, expert_map=None)
    assert bool((out == 7.0).all())
    assert handed == [None]
    found: dict[str, Any] = MARKER.answer()
    assert (found["taken"], found["fallback"]) == ({1: 1, 3: 1, 64: 1}, {65: 1})
    assert found["routed"][64]["local"] == 64 * 2


def test_lora_steps_are_vllms():
    """On layers that are not compressed, where vLLM sets a context for a step."""
    one = patched(Stock, "compact-bf16")(fakes.tiny(), None)
    one._lora_context = object()
    out, _ = apply(one, 3, *weights())
    assert bool((out == 7.0).all())


def test_weights_that_were_not_compressed_are_vllms():
    """Of the variant `mxfp8`, whatever loaded them: the marker names the reason."""
    one = patched(Stock, "mxfp8")(fakes.tiny(), None)
    out, _ = apply(one, 3, *weights())
    assert bool((out == 7.0).all())
    found = MARKER.answer()
    reason = "its weights were not loaded by the method that keeps them compressed"
    assert (found["taken"], found["fallback"], found["layers"]) == (
        {},
        {3: 1},
        {"gated": 0, "refused": {reason: 1}},
    )


def test_the_gpus_code_between_apply_and_the_kernels(monkeypatch):
    """As on a GPU, but interpreted: every tile is compiled at the first step, then each step takes its own."""
    tile = cases.TILES["plain"]
    known = tiles.Tiles("gfx942", "here", (dataclasses.replace(tile, tokens=128),))
    monkeypatch.setattr(tiles, "load", lambda *_: known)
    monkeypatch.setattr(layer, "forward", functools.partial(layer.forward, emulate=True))
    monkeypatch.setattr(experts_module, "on_cpu", lambda _: False)
    monkeypatch.setattr(steps, "_warm", set())
    one = patched(Stock, "compact-bf16")(fakes.tiny(), None)
    assert not steps._warm
    for tokens in (5, 16):
        out, wanted = apply(one, tokens, *weights())
        assert cases.error(out, wanted) < 1e-2, tokens
    assert steps._warm == {("cpu", "compact-bf16", False)}
    assert MARKER.answer()["taken"] == {5: 1, 16: 1}


@pytest.mark.parametrize("arch", ["gfx942", "sm90"])
@pytest.mark.parametrize("variant", ["compact-bf16", "mxfp8"])
@pytest.mark.parametrize("experts", [32, 64, 128])
def test_no_tile_is_left_to_be_compiled_in_a_load(monkeypatch, arch, variant, experts):
    """Those of large steps too: they were chosen by the few tokens that they are compiled with, so that a load's first long prompt compiled them."""
    seen = []
    monkeypatch.setattr(layer, "forward", lambda *_, tile, **__: seen.append(tile))
    monkeypatch.setattr(steps, "_warm", set())
    w1, w2 = weights()
    steps.warm(arch, variant, Weights(TINY, w1, w2), torch.zeros(experts, dtype=torch.int32))
    assert seen == list(tiles.load(arch, variant).tiles)


def test_a_layer_that_never_takes_the_path_shows(monkeypatch):
    """Of the counts on this package's path the layer with the fewest speaks, and the one with the most; vLLM's path counts each step once."""
    monkeypatch.setattr(marker, "SETTLE_S", 0.0)
    good, idle = (patched(Stock, "compact-bf16")(fakes.tiny(), None) for _ in range(2))
    for _ in range(3):
        apply(good, 5, *weights())
    assert MARKER.answer()["taken"] == {}
    assert MARKER.answer()["taken_most"] == {5: 3}
    apply(idle, 5, *weights())
    assert MARKER.answer()["taken"] == {5: 1}
    for one in (good, idle):
        apply(one, 70, *weights())
    assert MARKER.answer()["fallback"] == {70: 1}


def test_refused_layers_are_counted_and_say_why():
    """What vLLM's own class computes is seen too, so that `never taken` is a count, not a silence."""
    for _ in range(2):
        one = counted(Stock)(fakes.tiny(num_experts=16, num_logical_experts=16), None)
        out, _ = apply(one, 4, *weights())
        assert bool((out == 7.0).all())
    found = MARKER.answer()
    assert (found["taken"], found["fallback"]) == ({}, {4: 1})
    assert found["layers"] == {"gated": 0, "refused": {"experts: 16, wanted 8": 2}}


def method(monkeypatch, layer, variant="mxfp8"):
    """VLLM's own method for MXFP8 checkpoints, that loads the tiny layer on the CPU."""
    from vllm.model_executor.layers.quantization.modelopt import ModelOptMxFp8Config, ModelOptMxFp8FusedMoE

    fakes.load(monkeypatch, variant)
    config = fakes.tiny()
    made = ModelOptMxFp8FusedMoE(
        ModelOptMxFp8Config(
            is_checkpoint_mxfp8_serialized=True, kv_cache_quant_algo=None, exclude_modules=[]
        ),
        config,
    )
    drawn = torch.Generator().manual_seed(3)
    for name, (n, k) in {
        "w13": (2 * TINY.intermediate, TINY.hidden),
        "w2": (TINY.hidden, TINY.intermediate),
    }.items():
        values = cases.e4m3(drawn, 4, n, k)
        scales = torch.randint(118, 124, (4, n, k // 32), generator=drawn, dtype=torch.uint8)
        for suffix, value in (("weight", values.view(torch.float8_e4m3fn)), ("weight_scale", scales)):
            layer.register_parameter(f"{name}_{suffix}", torch.nn.Parameter(value, requires_grad=False))
    return made


class Layer(torch.nn.Module):  # type: ignore[misc] # torch is not in the linter's environment
    """What the method looks at in vLLM's layer."""

    swiglu_limit, swiglu_alpha, swiglu_beta = 7.0, 1.702, 1.0
    apply_router_weight_on_input = False
    orig_dtype = torch.bfloat16

    def _expert_routing_tables(self):
        return None


def tensors_of(*roots):
    """Every tensor that is reachable."""
    seen, found, left = set(), [], list(roots)
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found.append(one)
        elif isinstance(one, dict):
            left += one.values()
        elif isinstance(one, (list, tuple, set)):
            left += one
        elif hasattr(one, "__dict__") and not isinstance(one, type):
            left += vars(one).values()
    return found


def test_compressed_weights_are_the_only_ones(monkeypatch):
    """VLLM's own loading leaves the checkpoint's bytes where they were, scales laid anew, and nothing in BF16."""
    parts = Layer()
    made = method(monkeypatch, parts)
    where = parts.w13_weight.data_ptr(), parts.w2_weight.data_ptr()
    given = sum(one.numel() * one.element_size() for one in parts.parameters())
    widened = {name: reference.widen(parts.get_parameter(f"{name}_weight"), parts.get_parameter(f"{name}_weight_scale")) for name in ("w13", "w2")}  # fmt: skip
    made.process_weights_after_loading(parts)
    assert (parts.w13_weight.data_ptr(), parts.w2_weight.data_ptr()) == where
    kept = {one.data_ptr(): one for one in tensors_of(parts, made) if one.numel() > 1000}
    kept.pop(MARKER.rows[0].counts.data_ptr())
    assert {one.dtype for one in kept.values()} <= {torch.float8_e4m3fn, torch.uint8}
    assert sum(one.numel() * one.element_size() for one in kept.values()) == given
    experts = made.moe_kernel.fused_experts
    for tokens in (0, 3, 64, 65, 300):
        out, (x, routes) = apply(experts, tokens, parts.w13_weight, parts.w2_weight)
        wanted = reference.layer(x, widened["w13"], widened["w2"], routes, TINY, exact=False)
        assert torch.equal(out, wanted), tokens
    assert MARKER.answer()["taken"] == {3: 1, 64: 1, 65: 1, 300: 1}
    assert MARKER.answer()["fallback"] == {}


def test_no_call_falls_through_once_compressed(monkeypatch):
    """What cannot be computed is an error, never a product with bytes that vLLM takes for something else."""
    parts = Layer()
    made = method(monkeypatch, parts)
    made.process_weights_after_loading(parts)
    made.moe_kernel.fused_experts.set_lora_context(object())
    with pytest.raises(RuntimeError, match="a step that it cannot do: LoRA"):
        apply(made.moe_kernel.fused_experts, 3, parts.w13_weight, parts.w2_weight)


@pytest.mark.parametrize("what", ["nan", "scale 255", "router's weight on input", "other variant"])
def test_what_is_refused_at_load_is_widened_by_vllm(monkeypatch, what):
    """A NaN, the scale 255, or a router's weight on the input: the layer is vLLM's, in BF16, and says so."""
    parts = Layer()
    made = method(monkeypatch, parts, "compact-bf16" if what == "other variant" else "mxfp8")
    if what == "nan":
        parts.w2_weight.data.view(torch.uint8)[3, 5, 7] = 0x7F
    elif what == "scale 255":
        parts.w13_weight_scale.data[0, 0, 0] = 255
    parts.apply_router_weight_on_input = what == "router's weight on input"
    made.process_weights_after_loading(parts)
    assert (parts.w13_weight.dtype, parts.w2_weight.dtype) == (torch.bfloat16, torch.bfloat16)
    reasons = [row.refused for row in MARKER.rows]
    assert (reasons == [None]) == (what == "other variant")
