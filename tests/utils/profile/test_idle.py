from __future__ import annotations

from pathlib import Path

import pytest

from tests.utils.profile.made import Made, model

STEP = "execute_context_0(0)_generation_4(4)"


def test_two_streams_that_overlap(tmp_path: Path) -> None:
    """Busy is their union, overlap the time of both, and the kernels' sum is above what is busy."""
    made = Made()
    made.step(STEP, 0, 50)
    made.kernel("gemm", 100, 100, 10, stream=7)  # 100 .. 200
    made.kernel("nccl_all_reduce", 150, 100, 20, stream=9)  # 150 .. 250
    made.kernel("gemm", 300, 100, 30, stream=7)  # 300 .. 400, called for long before
    made.step(STEP, 500, 50)
    made.kernel("gemm", 600, 100, 590, stream=7)
    found = made.profile(tmp_path)
    first, last = found.phases[0].steps
    assert first.ms == pytest.approx(0.5)
    assert (first.busy_ms, first.overlap_ms, first.idle_ms) == pytest.approx((0.25, 0.05, 0.25))
    assert (last.ms, last.busy_ms, last.idle_ms) == pytest.approx((0.1, 0.1, 0.0))
    assert found.phases[0].kernel_ms == pytest.approx((0.3 + 0.1) / 2)
    assert found.streams == pytest.approx({"7": 0.3, "9": 0.1})
    assert first.starved_ms == pytest.approx(0.19)  # 400 .. 590, of the gap 400 .. 600
    assert first.queued_ms == pytest.approx(0.06)  # 250 .. 300 and 590 .. 600


def test_longest_gaps_are_named(tmp_path: Path) -> None:
    """With what ended before, what came then, and how much of it was the host's."""
    made = Made()
    made.step(STEP, 0, 500)
    made.kernel("a", 100, 10, 10)
    made.kernel("b", 400, 10, 350)
    made.kernel("c", 415, 10, 360)
    gap = made.profile(tmp_path).phases[0].gaps[0]
    assert (gap.step, gap.after, gap.before) == (1, "a", "b")
    assert gap.starved_ms is not None
    assert (gap.at_ms, gap.ms, gap.starved_ms) == pytest.approx((0.01, 0.29, 0.24))


def test_a_gap_is_after_what_ended_last(tmp_path: Path) -> None:
    """Not after what began last."""
    made = Made()
    made.step(STEP, 0, 500)
    made.kernel("first", 50, 5, 5)
    made.kernel("long", 100, 160, 10)
    for number in range(4):
        made.kernel("short", 150 + 20 * number, 10, 20, stream=9)
    made.kernel("last", 400, 10, 30)
    gap = made.profile(tmp_path).phases[0].gaps[0]
    assert (gap.after, gap.before, round(gap.ms, 6)) == ("long", "last", 0.14)


def test_gaps_inside_of_a_graph_are_not_the_hosts(tmp_path: Path) -> None:
    """Many kernels share one launch: only what is before the graph's first kernel can wait for the host."""
    made, at = Made(), 0.0
    for _ in range(3):
        made.step(STEP, at, 40)
        at = model(made, at + 5, dense=1, sparse=1) + 200
    found = made.profile(tmp_path)
    step = found.phases[0].steps[0]
    kernels = 10 + 13 + 3
    assert step.queued_ms == pytest.approx((kernels - 1 + 50) / 1000)
    assert step.starved_ms == pytest.approx((1 + 200 + 5) / 1000)
    assert found.totals.by_graph == found.totals.calls == 3 * kernels


def test_of_several_devices_the_busiest_is_shown(tmp_path: Path) -> None:
    """Streams of different devices never overlap each other; it is said which one is shown."""
    made = Made()
    made.step(STEP, 0, 50)
    made.kernel("gemm", 100, 100, 10)
    made.on_device("gemm", 100, 300, made.launch(11), device=1)
    found = made.profile(tmp_path, deviceProperties=[{"id": 0, "name": "A"}, {"id": 1, "name": "B"}])
    assert found.device == "1 (B)"
    assert found.phases[0].steps[0].busy_ms == pytest.approx(0.3)
    assert any("2 devices (0: 0.1 ms, 1: 0.3 ms): device 1" in remark for remark in found.remarks)
