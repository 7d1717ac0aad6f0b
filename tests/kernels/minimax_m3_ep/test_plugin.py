"""Loading: twice is once, and a vLLM that is not known is left alone."""

from __future__ import annotations

import json
import re
import time

import pytest
import torch

from kernels.minimax_m3_ep import marker, plugin, symbols
from tests.kernels.minimax_m3_ep import fakes


def untouched():
    """Whether none of vLLM's functions is replaced."""
    from vllm.model_executor.layers.fused_moe.oracle import mxfp8, unquantized
    from vllm.model_executor.layers.quantization import modelopt

    of = (
        (unquantized, "backend_to_kernel_cls"),
        (mxfp8, "_mxfp8_backend_to_kernel_cls"),
        (modelopt.ModelOptMxFp8FusedMoE, "_dequant_mxfp8_weights_to_bf16"),
        (modelopt, "select_mxfp8_moe_backend"),
    )
    return not any(hasattr(getattr(where, name, None), "_minimax_m3_ep") for where, name in of)


def test_twice_is_once(monkeypatch):
    """VLLM loads a plugin in each of its processes, and may do so twice in one."""
    from vllm.model_executor.layers.fused_moe.oracle import unquantized

    assert untouched()
    fakes.load(monkeypatch, "compact-bf16")
    once = unquantized.backend_to_kernel_cls
    plugin.register()
    assert unquantized.backend_to_kernel_cls is once
    found = once(unquantized.UnquantizedMoeBackend.TRITON)
    assert [one.__name__ for one in found] == [
        "MiniMaxM3EpTritonExperts",
        "CountedTritonExperts",
        "TritonExperts",
    ]


def test_mxfp8_counts_bf16_layers_and_computes_none(monkeypatch):
    """Its weights are the checkpoint's bytes; a layer that has none is vLLM's, and is not out of sight."""
    from vllm.model_executor.layers.fused_moe.oracle import unquantized

    fakes.load(monkeypatch, "mxfp8")
    found = unquantized.backend_to_kernel_cls(unquantized.UnquantizedMoeBackend.TRITON)
    assert [one.__name__ for one in found] == ["CountedTritonExperts", "TritonExperts"]
    assert found[0].reason == "its weights are not MXFP8"


@pytest.mark.parametrize("backend", ["TRITON", "CPU"])
def test_it_is_offered_on_both_platforms(monkeypatch, backend):
    """On a GPU before Triton's experts, on a CPU before those of the CPU."""
    from vllm.model_executor.layers.fused_moe.oracle import unquantized

    fakes.load(monkeypatch, "compact-bf16")
    found = unquantized.backend_to_kernel_cls(unquantized.UnquantizedMoeBackend[backend])
    assert found[0].__name__.startswith("MiniMaxM3Ep")


LAYER: dict[str, object] = {"num_experts": 64, "num_logical_experts": 64, "num_local_experts": 32}
"""Of the recipe for two H100s."""
CHOICES: dict[str, tuple[str, dict[str, object], str, str]] = {
    "ours": ("mxfp8", LAYER, "EMULATION", "MiniMaxM3EpMxfp8EmulationTritonExperts"),
    "another variant": ("compact-bf16", LAYER, "MARLIN", "MarlinExperts"),
    "another layer": ("mxfp8", LAYER | {"experts_per_token": 8}, "MARLIN", "MarlinExperts"),
    "a backend that was asked for": ("mxfp8", LAYER | {"moe_backend": "marlin"}, "MARLIN", "MarlinExperts"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_on_hopper_compressed_weights_are_kept_before_marlin(monkeypatch, name):
    """VLLM's own choice there is Marlin, also with the plugin for all that is not its layer."""
    from vllm.model_executor.layers.quantization import modelopt

    variant, changes, backend, experts = CHOICES[name]
    config = fakes.config(fakes.parallel(ep_size=2, ep_rank=1), **changes)
    fakes.on_hopper(monkeypatch)
    before = modelopt.select_mxfp8_moe_backend(config)
    assert (before[0].name, before[1].__name__) == ("MARLIN", "MarlinExperts")
    fakes.load(monkeypatch, variant)
    found = modelopt.select_mxfp8_moe_backend(config)
    assert (found[0].name, found[1].__name__) == (backend, experts)


@pytest.mark.parametrize("version", ["0.31.0", "0.32.1", "0.32.0rc1", "0.33.0.dev12+gabc"])
def test_another_version_is_refused(monkeypatch, version):
    """With what to do, and nothing patched."""
    monkeypatch.setattr("vllm.__version__", version)
    monkeypatch.setenv(plugin.VARIANT, "mxfp8")
    with pytest.raises(
        RuntimeError, match=rf"does not know vLLM {re.escape(version)}: it knows 0.32.0. Nothing was patched"
    ):
        plugin.register()
    assert untouched()


def _shorter(self, output, hidden_states):
    pass


def _changed_parameters(monkeypatch):
    from vllm.model_executor.layers.fused_moe.experts.triton_moe import TritonExperts

    monkeypatch.setattr(TritonExperts, "apply", _shorter)
    return r"TritonExperts.apply takes \(self, output, hidden_states\), not"


def _moved(monkeypatch):
    from vllm.model_executor.layers.fused_moe.oracle import mxfp8

    monkeypatch.delattr(mxfp8, "_mxfp8_backend_to_kernel_cls")
    return "it has no .*_mxfp8_backend_to_kernel_cls"


def _without_a_field(monkeypatch):
    fields = symbols.FIELDS | {
        "vllm.model_executor.layers.fused_moe.config:FusedMoEConfig": ("top_of_the_world",)
    }
    monkeypatch.setattr(symbols, "FIELDS", fields)
    return "FusedMoEConfig has no top_of_the_world"


def _without_a_name(monkeypatch):
    from vllm.model_executor.layers.fused_moe.experts.lora_experts_mixin import LoRAExpertsMixin

    monkeypatch.delattr(LoRAExpertsMixin, "_lora_context")
    return "it has no .*LoRAExpertsMixin._lora_context"


@pytest.mark.parametrize("change", [_changed_parameters, _moved, _without_a_field, _without_a_name])
def test_a_changed_symbol_is_refused(monkeypatch, change):
    """The first difference is named; what was found before it is not patched."""
    words = change(monkeypatch)
    monkeypatch.setenv(plugin.VARIANT, "compact-bf16")
    with pytest.raises(RuntimeError, match=words):
        plugin.register()
    assert untouched()


def test_an_unknown_variant_is_refused(monkeypatch):
    """With those that there are."""
    monkeypatch.setenv(plugin.VARIANT, "mxfp4")
    with pytest.raises(RuntimeError, match="is 'mxfp4'; it must be one of compact-bf16, mxfp8"):
        plugin.register()
    assert untouched()


def test_slots():
    """Small numbers of tokens are counted one by one, large ones by the next power of two."""
    for tokens in (0, 1, 256, 1024):
        assert marker.most_tokens(marker.slot(tokens)) == tokens
    for tokens, most in ((1025, 2048), (2048, 2048), (2049, 4096), (1 << 31, 1 << 31)):
        assert marker.most_tokens(marker.slot(tokens)) == most
    assert marker.slot(1 << 31) < marker.SLOTS


def test_it_answers_whoever_asks(monkeypatch, tmp_path):
    """Each request once, whole; what goes wrong is the answer."""
    monkeypatch.setenv(marker.FOLDER, str(tmp_path))
    one = marker.Marker(about={"kernel": "minimax-m3-ep"})
    row = one.join(torch.device("cpu"), None)
    one.listen()
    one.listen()
    row.taken(16).add_(torch.tensor([1, 8, 2, 3]))
    (tmp_path / "request").write_text("before\n")
    assert _read(tmp_path / "answer-before-0.json") == {
        "schema": 1, "worker": 0, "kernel": "minimax-m3-ep", "layers": {"gated": 1, "refused": {}}, "taken": {"16": 1}, "taken_most": {"16": 1}, "fallback": {},
        "routed": {"16": {"local": 8, "experts": 2, "blocks": 3}},
    }  # fmt: skip
    row.taken(16).add_(1)
    (tmp_path / "request").write_text("after\n")
    assert _read(tmp_path / "answer-after-0.json")["taken"] == {"16": 2}
    monkeypatch.setattr(one, "rows", [None])
    (tmp_path / "request").write_text("broken\n")
    assert "error" in _read(tmp_path / "answer-broken-0.json")


def _read(path):
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, "no answer"
        time.sleep(0.02)
    return json.loads(path.read_text())
