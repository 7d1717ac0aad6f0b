"""Real runs on one H100 each (tests/golden/h100): two versions of vLLM are measured, and a planted slow kernel is named with its share."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from matrix.plan import Plan
from tests.conftest import ROOT
from utils.node import record_file
from utils.node.record import Record
from utils.pipeline.tpot_change import because
from utils.profile.analyse import analysis
from utils.profile.figures import Profile
from utils.profile.trace import Bounds
from utils.report import pictures
from utils.report.drawing import drawn
from utils.report.verdict import by_effect, once
from utils.results.recompute import figures, left
from utils.results.recompute.asked import Asked
from utils.results.verdict import compare, ledger, matching

RUNS = ROOT / "tests/golden/h100"
FOREIGN = 0.2
"""Of the cores: what others may use, by the cluster file."""


def unpacked(folder: Path, into: Path) -> Path:
    """With the servers' logs as a run leaves them."""
    shutil.copytree(folder, into)
    for log in into.rglob("server.log.gz"):
        log.with_suffix("").write_bytes(gzip.decompress(log.read_bytes()))
    return into


@pytest.mark.parametrize("version", ["0.24.0", "0.32.0"])
def test_both_points_are_measured_and_the_raw_requests_say_the_same(version: str, tmp_path: Path) -> None:
    """All gates passed on the card, and whoever has the raw files comes to the same figures and the same answers of the gates."""
    folder = unpacked(RUNS / f"vllm-{version}", tmp_path / "run")
    plan = Plan.from_json(json.loads((folder / "plan.json").read_bytes()))
    job = plan.jobs[0].of("head")
    points = {point.id: point for point in job.points}
    paths = sorted(folder.rglob("record.json"))
    assert len(paths) == len(points) == 2
    for path in paths:
        one = record_file.read(path)
        assert (one.status, one.vllm_version, one.environment) == ("measured", version, "own")
        assert one.key.startswith("local:")
        assert [gate.name for gate in one.gates if not gate.passed] == []
        assert one.power is not None
        assert one.power.invalid == []
        assert 400 < (one.power.mean_w_per_device or 0) < 500
        today = figures.fields(Asked(job, points[one.point], one.block, FOREIGN), one, left.read(path.parent))
        said = json.loads(path.read_bytes())
        for part in ("whole", "steady"):
            for metric in ("ttft_s", "tpot_s", "itl_s", "e2el_s"):
                assert today[part][metric]["mean"] == pytest.approx(said[part][metric]["mean"]), metric
            speed = "total_tok_per_s_per_device"
            assert today[part][speed] == pytest.approx(said[part][speed])
        assert [gate["name"] for gate in today["gates"] if not gate["passed"]] == []


def profile(arm: str) -> Profile:
    return analysis(RUNS / f"planted/{arm}.pt.trace.json.gz", bounds=Bounds(1.0)).profile()


def records() -> list[Record]:
    return [record_file.read(path) for path in sorted((RUNS / "planted").rglob("record.json"))]


def test_a_planted_kernel_is_named_with_its_share() -> None:
    """Twelve layers that wait for 0.1 ms each: found by the pair, explained by its profiles, named first."""
    comparison = compare.compare(*matching.arms(records()), ledger.Ledger())
    (point,) = comparison.points
    found = because(point, profile("base"), profile("head"))
    assert found.explained
    assert found.measured_ms == pytest.approx(1.06, abs=0.01)
    assert found.kernels_ms == pytest.approx(1.22, abs=0.01)
    assert "spin_kernel" in found.kernels[0].name
    assert found.kernels[0].ms == pytest.approx(12 * 0.1, rel=0.05)
    assert "spin_kernel(long) (unknown) +1.22 ms (115 % of it)" in found.text
    told = (RUNS / "planted/run.log").read_text()
    assert f"where the time went: {found.text}" in told


@pytest.mark.parametrize("arm", ["base", "head"])
def test_the_totals_of_both_traces_are_torchs_own(arm: str) -> None:
    """Within 1 % of what torch wrote below its table in the same moment, annotations left out; all launched by graphs but a few."""
    table = gzip.decompress((RUNS / f"planted/{arm}.profiler_out.txt.gz").read_bytes()).decode()
    said = re.search(r"Self CUDA time total: ([\d.]+)ms", table)
    assert said
    assert profile(arm).totals.own_ms == pytest.approx(float(said[1]), rel=0.01)


def test_its_power_says_that_kernels_waited() -> None:
    """426 to 372 W while some kernel ran for more of the time."""
    (note,) = [
        one for one in compare.compare(*matching.arms(records()), ledger.Ledger()).notes if "power" in one
    ]
    assert "power -12.7 %, utilisation +4.6 % (87 %)" in note
    assert "kernels ran for more of the time and did less in it" in note


def test_the_report_says_flagged_where_the_comparison_does() -> None:
    """One block alone gives no word; `none` would read as if nothing had been seen."""
    rows = by_effect(compare.compare(*matching.arms(records()), ledger.Ledger()))
    assert {row["metric"]: row["word"] for row in rows} == {
        "tput": "flagged",
        "tpot": "flagged",
        "ttft": "no change seen",
    }
    ((svg, _),) = drawn([pictures.effects(once(rows), "", alone=False)], lambda _: None)
    assert "flagged" in svg
