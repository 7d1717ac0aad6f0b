"""The judge on a whole real pair (two H100s, 2026-11-27): every record is accepted, and power and parity come out as the runs said."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from matrix.plan import Plan
from tests.conftest import ROOT
from tests.utils.results.recompute.conftest import filled
from utils.node import parity_answers, record_file
from utils.node.record import Record
from utils.results.recompute import figures, left
from utils.results.recompute.asked import Asked
from utils.results.verdict import compare, ledger, matching
from utils.sweeps.recheck import rechecked
from utils.sweeps.returned import taken

FOREIGN = 0.2
"""Of the cores: what others may use, by the cluster file."""
RESULTS = ROOT / "kernels/minimax_m3_ep/results"
PAIR = RESULTS / "2026-11-27-h100-pair"
MXFP8 = {
    RESULTS / "2026-11-28-h200-mxfp8-pair": "",
    RESULTS / "2026-11-28-h200-mxfp8-pair-two-cards": "",
    RESULTS / "2026-11-28-h100-mxfp8-pair": "may be an improvement, and must repeat in one more block",
}
"""One point; and what is said of its time to the first token."""
HEIGHTS = RESULTS / "2026-11-28-h200-block-heights-pair"
"""Two points, two H200s; two of its eight loads were loads again, because vLLM compiled a kernel in the first."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    return as_today(PAIR, tmp_path_factory.mktemp("pair"), plan)


def as_today(pair: Path, into: Path, plan: Plan) -> Path:
    """A pair as a sweep's job would have left it; gates and figures that the harness of then did not know are today's, and so are the sentences of gates."""
    made = shutil.copytree(pair, into / "results-1-j/jobs/j")
    for log in made.rglob("server.log.gz"):
        log.with_suffix("").write_bytes(gzip.decompress(log.read_bytes()))
    for path in made.rglob("record.json"):
        one = record_file.read(path)
        arm = plan.jobs[0].of(one.arm)
        point = next(point for point in arm.points if point.id == one.point)
        today = figures.fields(Asked(arm, point, one.block, FOREIGN), one, left.read(path.parent))
        passed = {gate.name: gate.passed for gate in one.gates}
        gates = {
            "gates": [gate | {"passed": passed.get(gate["name"], gate["passed"])} for gate in today["gates"]]
        }
        record_file.save(Record.model_validate(filled(one.model_dump(), today) | gates), path.parent)
    return made


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(PAIR)


def plan_of(pair: Path) -> Plan:
    """Of a pair, as if its base had been given by a commit."""
    made = Plan.from_json(json.loads((pair / "plan.json").read_bytes()))
    assert made.pair is not None
    return made.model_copy(update={"pair": made.pair.model_copy(update={"commit": "b" * 40})})


def judged(job: Path, plan: Plan) -> dict[Path, Record]:
    return rechecked(taken(job.parent.parent.parent, plan, [], "991", "d" * 40), plan)


def test_every_record_is_accepted_with_the_meters_power(job: Path, plan: Plan) -> None:
    """What the arm integrated while it ran is what the judge integrates afterwards from the whole file."""
    found = judged(job, plan)
    assert len(found) == 8
    for folder, one in found.items():
        assert (one.status, one.figures, one.failure) == ("measured", "recomputed", None), folder
        said = record_file.read(folder / "record.json").power
        assert one.power is not None
        assert said is not None
        assert one.power.mean_w_per_device == pytest.approx(said.mean_w_per_device)
        assert 500 < (one.power.mean_w_per_device or 0) < 600
    comparison = compare.compare(*matching.arms(list(found.values())), ledger.Ledger())
    assert "answers are the base's: 4 checks passed, of 2 points" in comparison.notes


@pytest.mark.parametrize(("pair", "why"), MXFP8.items(), ids=("h200", "two h200s", "h100"))
def test_records_of_today_are_accepted_as_they_are(pair: Path, why: str, tmp_path: Path) -> None:
    """All of a pair, without a change but serial numbers: figures, gates, power and parity are what the job said."""
    mine = shutil.copytree(pair, tmp_path / "results-1-j/jobs/j")
    for log in mine.rglob("server.log.gz"):
        log.with_suffix("").write_bytes(gzip.decompress(log.read_bytes()))
    found = judged(mine, plan_of(pair))
    assert [(one.status, one.figures, one.failure) for one in found.values()] == [
        ("measured", "recomputed", None)
    ] * 4
    for folder, one in found.items():
        said = record_file.read(folder / "record.json")
        assert one.whole == said.whole
        assert one.power == said.power
        assert [gate.passed for gate in one.gates] == [True] * len(said.gates)
    comparison = compare.compare(*matching.arms(list(found.values())), ledger.Ledger())
    assert "answers are the base's: 2 checks passed, of 1 point" in comparison.notes
    assert not [note for note in comparison.notes if "power" in note], "nobody knows its noise"
    (point,) = comparison.points
    assert point.metrics["ttft"].why == why


def test_a_pairs_second_loads_are_refused(tmp_path: Path) -> None:
    """A pair that was made when the recorder, too, still loaded a pair's point again: the judge takes the six other records."""
    plan = plan_of(HEIGHTS)
    job = as_today(HEIGHTS, tmp_path, plan)
    twice = {log.parent for log in job.rglob("load-1.log")}
    assert len(twice) == 2
    found = judged(job, plan)
    assert len(found) == 8
    for folder, one in found.items():
        if folder in twice:
            assert "loaded twice, and is once, as every point of a pair" in str(one.failure)
        else:
            assert (one.status, one.figures, one.failure) == ("measured", "recomputed", None), folder


def test_power_that_a_record_made_up_is_not_kept(job: Path, plan: Plan, tmp_path: Path) -> None:
    """300 W where the meter saw more than 500."""
    mine = shutil.copytree(job.parent.parent, tmp_path / "results-1-j")
    (path,) = mine.glob("jobs/j/run-1-head/*c64/record.json")
    body = json.loads(path.read_bytes())
    body["power"]["mean_w_per_device"] = 300.0
    path.write_text(json.dumps(body))
    one = judged(mine / "jobs/j", plan)[path.parent]
    assert one.power is not None
    assert one.power.mean_w_per_device == pytest.approx(518.5, abs=0.1)


def test_answers_of_another_point_are_not_the_bases(job: Path, plan: Plan, tmp_path: Path) -> None:
    """The head's answers at 64 exchanged for what it said at 108: the record that calls them passed is refused."""
    mine = shutil.copytree(job.parent.parent, tmp_path / "results-1-j")
    (path,) = mine.glob(f"jobs/j/run-1-head/*c64/{parity_answers.OWN}")
    (other,) = mine.glob(f"jobs/j/run-1-head/*c108/{parity_answers.OWN}")
    path.write_bytes(other.read_bytes())
    one = judged(mine / "jobs/j", plan)[path.parent]
    assert one.failure is not None
    assert one.failure.reason == "RECORD_FORGED"
