"""Traces of the real vLLM 0.32.0 on two H100s, with and without the patched kernel (12 sparse layers, 64 requests at once, breakable graphs)."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from utils.profile.analyse import analysis
from utils.profile.figures import Profile
from utils.profile.trace import Bounds

FOLDER = ROOT / "kernels/minimax_m3_ep/results/2026-11-27-h100-profile"


def profile(arm: str) -> Profile:
    return analysis(FOLDER / f"{arm}.pt.trace.json.gz", bounds=Bounds(1.0)).profile()


@pytest.mark.parametrize("arm", ["base", "head"])
def test_the_total_is_torchs_own(arm: str) -> None:
    """What torch wrote in the same moment, below its table."""
    table = gzip.decompress((FOLDER / f"{arm}.profiler_out.txt.gz").read_bytes()).decode()
    said = re.search(r"Self CUDA time total: ([\d.]+)ms", table)
    assert said
    assert profile(arm).totals.own_ms == pytest.approx(float(said[1]), abs=0.001)


@pytest.mark.parametrize("arm", ["base", "head"])
def test_layers_are_found_where_each_piece_of_a_graph_has_its_own_streams(arm: str) -> None:
    """Twelve, all with experts, which take most of the step; no stream does more than a tenth of its work."""
    found = profile(arm)
    (decode,) = found.phases
    assert len(decode.steps) == 10
    assert {(one.requests, one.tokens) for one in decode.steps} == {(64, 64)}
    assert max(found.streams.values()) < 0.1 * found.totals.own_ms
    layers = decode.layers
    assert layers is not None
    assert (layers.layers, layers.sparse, layers.alike) == (12, 12, 10)
    assert 13.4 < layers.expert_span_ms < 13.6
    assert [kind.layers for kind in layers.kinds] == [11, 1]


def test_families_of_what_only_a_gpu_calls() -> None:
    """A normalisation of FlashInfer's is none of its attention, and sparse attention has names of its own."""
    families: dict[str, Any] = {one.name: one.family for one in profile("head").phases[0].kernels}
    for word, family in {
        "_gqa_sparse_decode_kernel": "attention",
        "_decode_index_score_kernel": "attention",
        "FusedAddRMSNormKernel": "norm",
        "grouped": "experts of minimax-m3-ep",
    }.items():
        assert {kind for name, kind in families.items() if word in name} == {family}, word


EAGER = ROOT / "kernels/minimax_m3_ep/results/2026-11-28-h100-eager-profile/decode"


@pytest.fixture(scope="module")
def eager() -> Profile:
    """The same layers with MXFP8 weights on one H100, without graphs: 16 requests at once."""
    return analysis(Path(f"{EAGER}.pt.trace.json.gz"), bounds=Bounds(1.0)).profile()


def test_without_graphs_the_total_is_torchs_own(eager: Profile) -> None:
    """Torch's, below its table; the copies of memory are in both."""
    table = gzip.decompress(Path(f"{EAGER}.profiler_out.txt.gz").read_bytes()).decode()
    said = re.search(r"Self CUDA time total: ([\d.]+)ms", table)
    assert said
    assert eager.totals.own_ms == pytest.approx(float(said[1]), rel=0.001)


def test_without_graphs_two_streams_and_a_starved_device(eager: Profile) -> None:
    """VLLM has a stream of its own for shared experts; the host is the slower one, and the device waits for it for most of a step."""
    (decode,) = eager.phases
    assert eager.totals.by_graph == 0
    assert len(decode.steps) == 10
    assert {(one.requests, one.tokens) for one in decode.steps} == {(16, 16)}
    assert sum(1 for own_ms in eager.streams.values() if own_ms > 1) == 2
    for step in decode.steps:
        assert step.busy_ms + step.idle_ms == pytest.approx(step.ms, rel=0.001)
        assert (step.starved_ms or 0.0) > 0.85 * step.idle_ms
    layers = decode.layers
    assert layers is not None
    assert (layers.layers, layers.sparse) == (12, 12)


def test_every_kernel_that_takes_time_has_a_family(eager: Profile) -> None:
    """Marlin's dense products among them; `unknown` is less than a thousandth."""
    kernels = eager.phases[0].kernels
    assert {one.family for one in kernels if "marlin::Marlin" in one.name} == {"gemm"}
    assert {one.family for one in kernels if "marlin_moe" in one.name} == {"experts"}
    unknown = sum(one.ms for one in kernels if one.family == "unknown")
    assert unknown < 0.001 * sum(one.ms for one in kernels)
