"""Power over a window: exact at its ends, invalid with a reason, and as NVML's energy counter has it on two real H100s."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ROOT
from utils.node import power
from utils.node.power import Use
from utils.node.samples import Sample

REAL = ROOT / "tests/data/h100-energy.csv.gz"
"""Seventeen minutes of two H100s under loads of many kinds: NVML's power and, beside it, its energy counter, which the integral never reads."""


def use(**changed: Any) -> Use:
    """Ten seconds of two devices."""
    known: dict[str, Any] = {
        "start_s": 100.5,
        "end_s": 110.5,
        "devices": 2,
        "output_tokens": 1000,
        "tokens": 4000,
    }
    return Use(**(known | changed))


def samples(**changed: Any) -> list[Sample]:
    """Two devices at 400 and 600 W, once a second from 95 s to 115 s."""
    found = []
    for at in range(95, 116):
        for device, watts in (("0", 400.0), ("1", 600.0)):
            known: dict[str, Any] = {"watts": watts, "utilisation": 0.99, "clock_mhz": 1755.0}
            found.append(Sample(at_s=float(at), device=device, **(known | changed)))
    return found


def test_the_figures_of_a_constant_power() -> None:
    """Two devices that draw 1000 W for 10 s: 10 J an output token of 1000."""
    found = power.over(samples(), use(), "nvidia-smi")
    assert found is not None
    assert found.invalid == []
    assert found.mean_w_per_device == pytest.approx(500)
    assert found.joules_per_output_token == pytest.approx(10)
    assert found.joules_per_token == pytest.approx(2.5)
    assert found.total_tok_per_s_per_w == pytest.approx(400 / 1000)
    assert found.mean_utilisation == pytest.approx(0.99)
    assert (found.mean_clock_mhz, found.samples) == (1755, 20)
