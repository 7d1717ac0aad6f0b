"""What a start is doing, from logs of the real vLLM."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from utils.node.vllm.starting import stage

LOG = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-fault/server-with-kernel.log"


def test_each_stage_of_a_real_start() -> None:
    """The log of a server on two H100s, read as it grew: in the order in which a start goes on."""
    text = LOG.read_text()
    seen = []
    for end in range(200, len(text), 200):
        now = stage(text[max(0, end - 16_384) : end])
        name = now.split(" (")[0]
        if name and name not in seen:
            seen.append(name)
    assert seen[:5] == [
        "reading the configuration",
        "starting the engine",
        "connecting the workers",
        "loading weights",
        "preparing kernels",
    ]
    assert "capturing graphs" in seen


@pytest.mark.parametrize(
    ("log", "wanted"),
    [
        ("", ""),
        ("what nobody knows\n", ""),
        ("core.py:564 - flashinfer.jit: Building JIT module norm; this can take\n", "preparing kernels (norm)"),
        ("Capturing CUDA graphs (PIECEWISE):  2%|2 | 1/51 [00:21]\rCapturing CUDA graphs (PIECEWISE):  4%|4 | 2/51 [00:34]", "capturing graphs (2/51)"),
        ("(Worker pid=1) INFO [cpu_model_runner.py:68] Starting to load model /m...\nother words\n", "loading weights"),
        ("INFO [core.py:402] init engine (profile, create kv cache, warmup model) took 0.73 s\n", "opening the port"),
    ],
)  # fmt: skip
def test_words_of_a_log(log: str, wanted: str) -> None:
    """The last known words count, with their progress."""
    assert stage(log) == wanted
