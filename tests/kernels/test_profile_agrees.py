"""Profiles beside torch's own totals, where there is torch: in the kernels' environment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from utils.profile.analyse import analysis
from utils.profile.trace import Bounds

STEP = "execute_context_0(0)_generation_2(2)"


def work(x: torch.Tensor) -> torch.Tensor:
    for _ in range(3):
        x = torch.nn.functional.silu(torch.nn.functional.linear(x, x)).softmax(-1)
        x = (x @ x).contiguous().sort(dim=-1).values.to(torch.bfloat16).float()
    return x


@pytest.mark.parametrize("threads", [1, 2])
def test_totals_agree_with_key_averages(tmp_path: Path, threads: int) -> None:
    """Within 1 %, with and without annotations, and each operator that takes more than a hundredth."""
    torch.set_num_threads(1)
    path = tmp_path / "trace.json"
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(5):
            with record_function(STEP):
                others = [
                    threading.Thread(target=work, args=(torch.rand(64, 64),)) for _ in range(threads - 1)
                ]
                for one in others:
                    one.start()
                work(torch.rand(128, 128))
                for one in others:
                    one.join()
            work(torch.rand(64, 64))
    profiled.export_chrome_trace(str(path))
    rows = {one.key: one.self_cpu_time_total / 1000 for one in profiled.key_averages()}
    total, annotations = sum(rows.values()), rows[STEP]
    found = analysis(path, bounds=Bounds(1.0)).profile()
    assert found.totals.own_ms + found.totals.annotations_ms == pytest.approx(total, rel=0.01)
    assert found.totals.own_ms == pytest.approx(total - annotations, rel=0.01)
    assert len(found.phases[0].steps) == 5
    mine = {one.name: 5 * one.ms for one in found.phases[0].kernels}
    for name, own in rows.items():
        if own > total / 100 and name != STEP:
            assert mine[name] == pytest.approx(own, rel=0.01, abs=found.totals.outside_ms), name
