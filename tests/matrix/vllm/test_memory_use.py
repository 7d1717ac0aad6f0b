"""What vLLM takes of a GPU, compared with what a real server said of it."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.cluster import Devices
from matrix.memory import GIB, Memory
from matrix.recipe import Search
from matrix.source import Folder
from matrix.vllm import memory_use, model_sizes
from matrix.vllm.memory_use import Asked
from tests.conftest import ROOT

LOG = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server/base/server.log.gz"
H100 = Devices(kind="cuda", model="H100", arch="sm90", count=2)
MI300X = Devices(kind="rocm", model="MI300X", arch="gfx942", count=8)
M3 = "MiniMaxAI/MiniMax-M3-MXFP8"


def asked(devices: Devices, **search: int) -> Asked:
    return Asked(
        devices, Search.model_validate({"concurrency": 1, **search}), "vllm==0.32.0", {}, {}, None, 9472
    )


def sizes(model: str) -> model_sizes.Sizes:
    found = model_sizes.of(Folder(ROOT), model)
    assert isinstance(found, model_sizes.Sizes)
    return found


def took(model: str, of: Asked) -> Memory:
    found = memory_use.of(sizes(model), of).memory
    assert found
    return found


def logged(pattern: str) -> float:
    found = re.search(pattern, gzip.decompress(LOG.read_bytes()).decode(errors="replace"))
    assert found
    return float(found[1].replace(",", ""))


def test_a_real_server_on_two_h100s_agrees() -> None:
    """Weights to 1 % and never more; bytes of a token exactly; what was left for keys and values is less than the bound."""
    found = took("recipes/models/minimaxm3-layers", asked(H100, tp=2, ep=2))
    weights = logged(r"Model loading took ([\d.]+) GiB")
    left, tokens = (
        logged(r"Available KV cache memory: ([\d.]+) GiB"),
        logged(r"KV cache size: ([\d,]+) tokens"),
    )
    assert 0.99 * weights <= found.weights_gib <= weights
    assert found.kv_tokens
    token = (found.usable_gib - found.weights_gib) * GIB / found.kv_tokens
    assert token == pytest.approx(left * GIB / tokens, rel=1e-3)
    assert tokens < found.kv_tokens < 1.15 * tokens


@pytest.mark.parametrize(
    ("tp", "ep", "dp", "pp", "experts"),
    [
        (8, 8, 1, 1, 96.2),
        (8, 1, 1, 1, 96.2),
        (4, 4, 1, 1, 192.4),
        (2, 8, 4, 1, 96.2),
        (2, 1, 4, 1, 96.2),
        (4, 4, 1, 2, 96.2),
    ],
)
def test_experts_are_spread_over_all_ranks(tp: int, ep: int, dp: int, pp: int, experts: float) -> None:
    """With expert parallelism or without it, over tensor and data ranks; layers over stages."""
    assert took(M3, asked(MI300X, tp=tp, ep=ep, dp=dp, pp=pp)).experts_gib == pytest.approx(experts, abs=0.05)


def test_data_ranks_each_have_the_rest() -> None:
    """Attention is spread over tensor ranks alone."""
    one, four = (took(M3, asked(MI300X, tp=tp, dp=dp)).rest_gib for tp, dp in ((8, 1), (2, 4)))
    assert four == pytest.approx(4 * one)


def test_a_head_cannot_be_split() -> None:
    """Four heads of keys and values on eight GPUs: each has one of them whole, as on four."""
    four, eight = (memory_use._token_bytes(sizes(M3), asked(MI300X, tp=tp)) for tp in (4, 8))
    assert four == eight == 60 * 2 * 128 * 2 + 57 * 128 * 2


@pytest.mark.parametrize(
    ("flags", "usable", "token"),
    [
        ({}, 0.92 * 192, 45_312),
        ({"gpu-memory-utilization": "0.5"}, 96, 45_312),
        ({"device-memory-utilization": "0.5"}, 96, 45_312),
        ({"gpu-memory-utilization": "most"}, 192, 45_312),
        ({"kv-cache-dtype": "fp8"}, 0.92 * 192, 30_720 / 2 + 14_592),
        ({"attention-config.indexer_kv_dtype": "fp8"}, 0.92 * 192, 30_720 + 14_592 / 2),
        ({"kv-cache-dtype": "nvfp4"}, 0.92 * 192, None),
        ({"kv-cache-memory-bytes": "1000000000"}, 192, 45_312),
    ],
)
def test_flags(flags: dict[str, str | bool | list[str]], usable: float, token: float | None) -> None:
    """How much vLLM takes, and how large a token is."""
    one = replace(asked(MI300X, tp=8), flags=flags)
    found = took(M3, one)
    assert found.usable_gib == pytest.approx(usable)
    assert memory_use._token_bytes(sizes(M3), one) == token
    assert (found.kv_tokens is None) == (token is None)


def test_linear_layers_may_stay_as_they_are() -> None:
    """A variable of vLLM's; experts do not ask for it."""
    one = asked(MI300X, tp=8)
    kept = took(M3, replace(one, env={memory_use.WIDENS: "0"}))
    assert kept.rest_gib < took(M3, one).rest_gib
    assert kept.experts_as == "BF16"


def test_other_gpus_do_not_widen() -> None:
    """Hopper has products for MXFP8."""
    assert took(M3, asked(H100, tp=8, ep=8)).experts_as == "MXFP8"


def test_a_request_must_have_room() -> None:
    """VLLM ends where the longest one has none."""
    room = memory_use.of(sizes(M3), replace(asked(MI300X, tp=8), max_model_len=10**7))
    assert "for one request of 10000000 tokens" in room.refusal


@pytest.mark.parametrize("model", ["recipes/models/qwen3moe-tiny", "recipes/models/minimaxm3-tiny"])
def test_carried_models_are_counted(model: str) -> None:
    """From their own config.json."""
    assert sizes(model).stored == "BF16"
    assert sizes(model).experts > 0


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no json",
        '{"model_type": "qwen3_moe"}',
        '{"model_type": "qwen3_moe", "torch_dtype": "bfloat16"}',
    ],
)
def test_a_config_that_does_not_say_it_is_not_known(tmp_path: Path, text: str) -> None:
    """In words, not by an error."""
    folder = tmp_path / "recipes/models/m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text)
    assert isinstance(model_sizes.of(Folder(tmp_path), "recipes/models/m"), str)


def test_the_sum_of_sizes_is_the_published_one() -> None:
    """427 B parameters, less what is not counted."""
    found = sizes(M3)
    assert 0.99 * 427e9 < found.experts + found.linears + found.embeddings < 427e9
