"""How the benchmark times: graphs of several steps on routings that take turns, medians, and the card's own read bandwidth."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from . import bench_cases

if TYPE_CHECKING:
    from collections.abc import Callable

REPLAYS = 15
WARM = 3
ROUNDS = 3
"""Of `in_turns`."""
CALLS = ROUNDS * bench_cases.SETS * (REPLAYS + WARM + 1)
"""How often `in_turns` makes a step run: once each before a graph is captured, then in every replay."""


@triton.jit
def _read(source, sink, size, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202, N803 - Triton types them
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(tl.program_id(0) * BLOCK, size, tl.num_programs(0) * BLOCK):
        total += tl.load(source + start + tl.arange(0, BLOCK))
    tl.store(sink + tl.program_id(0), tl.sum(total))


def bandwidth() -> float:
    """Bytes a second that a kernel reads which does nothing else, over 2 GiB: the best of three medians."""
    source = torch.randn(2**29, device="cuda")
    programs = 16 * torch.cuda.get_device_properties(0).multi_processor_count
    sink = torch.empty(programs, device="cuda")

    def read() -> None:
        _read[(programs,)](source, sink, source.numel(), BLOCK=8192, num_warps=8)

    times = [triton.testing.do_bench(read, warmup=20, rep=100, return_mode="median") for _ in range(3)]
    return source.numel() * 4 / min(times) * 1e3


def seconds(run: Callable[[int], None], replays: int = REPLAYS) -> float:
    """Median time of a step, from replays of a graph of `bench_cases.SETS` of them."""
    for index in range(bench_cases.SETS):
        run(index)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(bench_cases.SETS):
            run(index)
    times = []
    for replay in range(replays + WARM):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        if replay >= WARM:
            times.append(begin.elapsed_time(end) / bench_cases.SETS / 1e3)
    return statistics.median(times)


def in_turns(runs: list[Callable[[int], None]]) -> list[float]:
    """Medians of `seconds` of each, in rounds over all of them, so that the card's drift falls on all alike."""
    rounds = [[seconds(run) for run in runs] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]
