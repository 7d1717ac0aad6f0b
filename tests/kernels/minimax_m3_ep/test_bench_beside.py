"""The benchmark's part that runs layers beside other work: what it calls alike, counted and passed. It runs on a GPU."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from kernels.minimax_m3_ep import bench_beside, marker
from kernels.minimax_m3_ep.bench_beside import Found

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Found("mxfp8, 56 tokens, 6 layers", steps=104, looks=40, differing=0, reads=3, counted=True)


@pytest.mark.parametrize("bad", [{"looks": 0}, {"differing": 1}, {"reads": 0}, {"counted": False}])
def test_it_passes_only_in_company_and_unchanged(bad: dict[str, Any]) -> None:
    """A run in which nothing was read, looked at or counted shows nothing."""
    assert GOOD.passed
    assert not replace(GOOD, **bad).passed


def test_one_bit_is_a_difference() -> None:
    """Also where both are no number, and a zero has another sign."""
    some = torch.tensor([1.0, 0.0, float("nan")]).bfloat16()
    assert bench_beside.same(some, some.clone())
    assert not bench_beside.same(some, torch.tensor([1.0, -0.0, float("nan")]).bfloat16())


@pytest.mark.parametrize(
    ("taken", "most", "fine"),
    [
        ({56: 8}, {56: 8}, True),
        ({56: 7}, {56: 8}, False),
        ({56: 8, 1: 1}, {56: 8, 1: 1}, False),
        ({}, {}, False),
    ],
)
def test_every_layer_counts_every_step(taken: dict[int, int], most: dict[int, int], fine: bool) -> None:  # noqa: FBT001 - a table's column
    """`taken` has the layer with the fewest, `taken_most` the one with the most."""
    assert bench_beside.counted({"taken": taken, "taken_most": most}, 56, 8) is fine


def test_the_markers_answers_come_by_the_way_that_a_node_takes() -> None:
    """By files, from the marker's own thread, one after the other; the variable is gone afterwards."""
    mine = marker.Marker()
    row = mine.join(torch.device("cpu"), None)
    row.taken(56)[0] = 8
    with bench_beside._asking(mine) as answers:
        end = time.monotonic() + 30
        while len(answers) < 2 and time.monotonic() < end:
            time.sleep(0.05)
    assert len(answers) >= 2
    assert all(answer["taken"] == {"56": 8} for answer in answers)
    assert marker.FOLDER not in os.environ


def test_a_marker_that_cannot_answer_ends_it(tmp_path: Path) -> None:
    """What the worker's thread could not read is not passed over."""
    (tmp_path / "answer-0-0.json").write_text('{"schema": 1, "worker": 0, "error": "illegal memory access"}')
    with pytest.raises(RuntimeError, match="illegal memory access"):
        bench_beside._asked(tmp_path, [])


def test_what_a_thread_raises_is_raised() -> None:
    """A second stream that fails is no quiet company."""

    def fails() -> None:
        raise MemoryError("no memory")

    with pytest.raises(MemoryError, match="no memory"), bench_beside._thread(fails):
        time.sleep(0.05)
