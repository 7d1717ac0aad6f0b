"""The client's adapter: command lines, draws, results."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import select
from matrix.errors import Exit
from matrix.protocol import PROTOCOL_VERSION, Protocol, lengths, requests, seed
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from utils.node.exceptions import RunFailed, decisive_lines
from utils.node.vllm import invocation, load
from utils.node.vllm.load_result import drawn_lengths, parse

GOLDEN = ROOT / f"tests/golden/client-commands.v{PROTOCOL_VERSION}.txt"
SHOWN = (
    "minimaxm3-fp8-mi300x-vllm/8k1k-tp8-ep8-c256",
    "minimaxm3-fp8-mi300x-vllm-mtp/1k1k-tp8-c16",
    "qwen3moe-tiny-cpu-vllm/128x64-tp1-c4",
)


def client_commands() -> str:
    """Warm-up and load of some points, as the client gets them."""
    plan = select.chosen(Tree.of(Folder(ROOT)), SHOWN)
    text = ""
    for point in (point for job in plan.jobs for point in job.points):
        for call in (
            invocation.warmup(point, point.model, 8000, "R"),
            invocation.measured(point, point.model, 8000, "R", rate_per_s=2.5),
        ):
            text += f"# {point.id}\nvllm {' '.join(load.argv(call))}\n"
    return text


def test_the_clients_command_lines_change_only_with_the_protocols_version() -> None:
    """Raise PROTOCOL_VERSION when this differs; then `python -m tests.utils.node.vllm.test_load` writes the next golden file."""
    assert client_commands() == GOLDEN.read_text()


def test_warm_up_and_load_never_share_prompts() -> None:
    """Other seed, and none of the client's own warm-ups or ready checks, which send measured prompts."""
    for line in client_commands().splitlines()[1::2]:
        assert "--num-warmups 0" in line
        assert "--ready-check-timeout-sec 0" in line
    assert seed("a/b") != seed("a/b", "warm-up")
    assert seed("a/b") == seed("a/b") != seed("a/c")


@given(st.integers(2, 10**6))
def test_lengths_are_the_upper_fifth(longest: int) -> None:
    """The client's own formula draws exactly [low, high], within [0.8 L, L]."""
    found = lengths(longest)
    assert 0.8 * longest - 1e-6 <= found.low <= found.high == longest
    assert found.low <= 0.8 * longest + 2
    assert math.floor(found.mean * (1 - found.ratio)) == found.low
    assert math.ceil(found.mean * (1 + found.ratio)) == found.high


def test_a_draw_is_the_clients_draw() -> None:
    """Figures that the real client drew for seed 2 (vLLM 0.32.0, lengths 104 to 128 and 51 to 65), first two of each."""
    rng = np.random.default_rng(2)
    assert rng.integers(104, 129, size=20)[:2].tolist() == [124, 110]
    assert rng.integers(51, 66, size=20)[:2].tolist() == [55, 59]
    inputs, outputs = drawn_lengths(128, 64, 50, 2, 0)
    assert (inputs.min() >= 104, inputs.max() <= 128, outputs.min() >= 52, outputs.max() <= 64) == (True,) * 4


@given(st.integers(1, 512), st.floats(0, 1000))
def test_requests_are_whole_waves_and_enough(concurrency: int, rate: float) -> None:
    """At least ten waves, and enough for the minimum duration."""
    found = requests(Protocol(), concurrency, rate)
    assert found % concurrency == 0
    assert found >= max(10 * concurrency, 300 * rate)
    assert found < max(10 * concurrency, 300 * rate) + concurrency + 1


REAL = (ROOT / "tests/golden/vllm-bench-0.32.0.json").read_bytes()
DOCTORED = [
    json.dumps(json.loads(REAL) | change).encode()
    for change in (
        {"duration": 0},
        {"itls": [0.1] * 20},
        {"mean_tpot_ms": math.nan},
        {"latencies": [-1.0] * 20},
        {"ttfts": [math.inf] * 20},
    )
]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"start_times": [1.0]}', b"null", *DOCTORED])
def test_a_result_that_is_none_is_an_error(content: bytes) -> None:
    """A file of another client, or a part of one."""
    with pytest.raises(RunFailed) as caught:
        parse(content, "load.json")
    assert caught.value.exit_code is Exit.CLIENT_FAILED


def test_a_real_result_is_read() -> None:
    """A result that vLLM 0.32.0's client left, shortened by its texts."""
    content = (ROOT / "tests/golden/vllm-bench-0.32.0.json").read_bytes()
    raw = parse(content, "load.json")
    told = json.loads(content)
    assert raw.completed == len(raw.start_us) == told["num_prompts"]
    assert raw.input_len.sum() == told["total_input_tokens"]
    assert np.allclose([row.sum() for row in raw.itl_us], raw.latency_us - raw.ttft_us, atol=100)


LOG = Path(ROOT / "tests/golden/server-dies.log")


def test_decisive_lines_of_a_real_log() -> None:
    """Of the lines that vLLM 0.32.0 wrote when its worker died, the one that tells the cause comes first."""
    lines = decisive_lines(LOG.read_text())
    assert "Worker proc VllmWorker-0 died unexpectedly (exit code: -4)" in lines[0]
    assert len(lines) <= 6
    assert not any('File "' in line for line in lines)


def test_what_the_gpu_says_comes_first() -> None:
    """ROCm's own line carries no word of ours, and everything after it only follows from it; frames and ld.so's remark are noise."""
    log = (
        "ERROR: ld.so: object '/opt/x.so' from LD_PRELOAD cannot be preloaded: ignored.\n"
        "Memory access fault by GPU node-5 (Agent handle: 0x2b) on address 0x7e. Reason: Page not present.\n"
        "frame #12: c10d::error() in libtorch.so\n"
        "(EngineCore pid=4) ERROR 10-02 [m.py:2] Worker proc VllmWorker-3 died unexpectedly, shutting down.\n"
        + "".join(f"(APIServer pid=2) ERROR 10-02 [a.py:{i}] RuntimeError: failed {i}\n" for i in range(9))
    )
    lines = decisive_lines(log)
    assert lines[0].startswith("Memory access fault by GPU node-5")
    assert len(lines) == 6
    assert not any("frame #" in line or "ld.so" in line for line in lines)


def test_what_many_ranks_say_is_said_once() -> None:
    """RCCL's advice at each start is noise; a watchdog's word of eight ranks leaves room for the cause."""
    advice = 'which can lead to variability in the RCCL performance! Disable by "sudo sysctl kernel.numa_balancing=0"'
    starts = "".join(
        f"mi0:9{i}:9{i} [{i}] /src/init.cc:140 NCCL WARN NUMA auto balancing enabled {advice}\n"
        f'mi0:9{i}:9{i} [{i}] /src/init.cc:160 NCCL WARN Missing "iommu=pt" from kernel command line\n'
        for i in range(8)
    )
    ends = "".join(
        f"[rank{i}]:[E1127 1{i}:00:00.1 P.cpp:685] [Rank {i}] Watchdog caught collective operation timeout\n"
        for i in range(8)
    )
    cause = "(Worker_TP3 pid=7) ValueError: no such layer\n"
    lines = decisive_lines(starts + ends + cause)
    assert [line.split()[-1] for line in lines] == ["timeout", "layer"]
    assert decisive_lines(starts + cause) == [cause.strip()]


@pytest.mark.parametrize(
    "line",
    [
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 131072",
        "(EngineCore_DP0 pid=9) ERROR 11-27 01:02:03 [core.py:800] triton.runtime.errors.OutOfResources: out of resource",
        "!!!!!!! Segfault encountered !!!!!!!",
        "[enforce fail at ../third_party/gloo/gloo/transport/tcp/device.cc:83] ifa != nullptr. Unable to find address for: eth7",
    ],
)
def test_a_cause_whose_name_is_no_error(line: str) -> None:
    """It is not lost behind what only follows from it; a line about a class is no cause."""
    log = f'(EngineCore pid=9) INFO 11-27 [x.py:1] vllm.model.Thing: loaded\n{line}\n  File "x.py", line 1\nbye\n'
    assert decisive_lines(log) == [line]


def test_decisive_lines_without_a_named_error_are_the_last_ones() -> None:
    """Something is better than nothing."""
    assert decisive_lines("one\n\ntwo\n") == ["one", "two"]


if __name__ == "__main__":
    assert not GOLDEN.exists(), "raise PROTOCOL_VERSION first"
    GOLDEN.write_text(client_commands())
