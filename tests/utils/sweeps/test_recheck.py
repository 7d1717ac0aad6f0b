"""Records of a sweep are believed only where their raw requests and the plan say the same; one bad one is one missing point."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from matrix.plan import Plan
from tests.utils.results.recompute.conftest import MEASURED, Honest, allocation
from utils.node import record_file
from utils.node.record import Record
from utils.results.verdict import compare, ledger, matching
from utils.sweeps import report
from utils.sweeps.recheck import FOUND, rechecked
from utils.sweeps.returned import keep, missing, taken

pytestmark = pytest.mark.hostile

__all__ = ["allocation"]
SHA = "d" * 40
POINT = "minimaxm3-layers-h100/512x256-tp2-ep2-c64"


@pytest.fixture
def plan() -> Plan:
    """Of the real run, as if its base had been given by a commit."""
    made = Plan.from_json(json.loads((MEASURED / "plan.json").read_bytes()))
    assert made.pair is not None
    return made.model_copy(update={"pair": made.pair.model_copy(update={"commit": "b" * 40})})


@pytest.fixture
def results(tmp_path: Path, allocation: dict[str, Honest]) -> Path:
    """What a sweep's jobs left: a run of each arm, two points each."""
    job = tmp_path / "results" / "results-1-j" / "jobs" / "j"
    for honest in allocation.values():
        run = job / honest.folder.parent.name
        shutil.copytree(honest.folder, run / honest.folder.name)
        shutil.copyfile(honest.folder.parent / "server.log", run / "server.log")
        record_file.save(honest.one, run / honest.folder.name)
    return tmp_path / "results"


def head(results: Path) -> Path:
    """The head's point with concurrency 64."""
    return results / "results-1-j/jobs/j/run-1-head" / POINT.split("/")[1]


def judged(results: Path, plan: Plan) -> dict[Path, Record]:
    return rechecked(taken(results, plan, [], "991", SHA), plan)


def write(folder: Path, **update: Any) -> None:
    """Change a record where it lies, as a container could."""
    body = json.loads((folder / "record.json").read_bytes())
    (folder / "record.json").write_text(json.dumps(body | update))


def test_honest_records_are_taken_with_their_figures(results: Path, plan: Plan) -> None:
    """Real ones of an H100: all four, and the kept form says that a job made the figures anew."""
    found = judged(results, plan)
    assert [one.status for one in found.values()] == ["measured"] * 4
    assert {one.figures for one in found.values()} == {"recomputed"}


def test_a_faster_word_is_a_missing_point_with_its_field(results: Path, plan: Plan, tmp_path: Path) -> None:
    """Half as fast again, raw requests left as they were, no gates: the comment names the field, and no figure of it is kept."""
    body = json.loads((head(results) / "record.json").read_bytes())
    whole = body["whole"] | {"total_tok_per_s_per_device": 1.5 * body["whole"]["total_tok_per_s_per_device"]}
    write(head(results), whole=whole, gates=[])
    found = judged(results, plan)
    bad = found[head(results)]
    assert (bad.status, bad.whole, bad.steady) == ("failed", None, None)
    lost = missing(plan, list(found.values()), results)
    assert [one.point for one in lost] == [POINT]
    assert lost[0].why.startswith(
        "RECORD_FORGED: forged: status says measured, and is invalid; whole.total_tok_per_s_per_device"
    )
    assert not lost[0].retry
    comparison = compare.compare(*matching.arms(list(found.values())), ledger.Ledger())
    told = report.Report(
        sha=SHA, pull=1, comparison=comparison, alone=[], missing=lost, changelog="", notes=[]
    )
    shown = "".join(report.parts(told, "https://e.org", "main"))
    assert "forged: status says measured" in shown
    keep(bad, head(results), tmp_path / "kept")
    kept = record_file.read(next((tmp_path / "kept").rglob("record.json")))
    assert kept.whole is None
    assert not list((tmp_path / "kept").rglob("*.gz")), "what lies beside a forged record is no evidence"


@pytest.mark.parametrize(
    "update",
    [
        {"clock": {"monotonic_s": 1.0, "wall_unix_s": 1e300}},
        {"clock": {"monotonic_s": 977.4, "wall_unix_s": 4e9}},
        {"server_age_s": -1e300},
        {"devices": 10**400},
        {"devices": 0},
        {"node": None},
        {"points_in_run": ["x" * 10**6]},
        {"telemetry": {"client_cpu_s": 1e308, "client_cpu_share": 1e308, "server_rss_peak_bytes": 1}},
        {"counters": {"prompt_tokens": -1, "generation_tokens": 0, "preemptions": 0, "prefix_cache_hits": 0, "requests_succeeded": 0}},
        {"phases": [{"name": "load", "start_s": 1e308, "duration_s": 1e308}]},
        {"load": None},
        {"serve_argv": []},
        {"status": "cancelled"},
        {"parts": {"a": [[[[[[]]]]]]}},
    ],
    ids=lambda update: next(iter(update)),
)  # fmt: skip
def test_one_bad_record_is_one_missing_point(results: Path, plan: Plan, update: dict[str, Any]) -> None:
    """Whatever a container writes: the other point has its figures, and the report its reason."""
    write(head(results), **update)
    found = judged(results, plan)
    assert [one.point for one in missing(plan, list(found.values()), results)] == [POINT]
    others = [one for folder, one in found.items() if folder != head(results)]
    assert [one.status for one in others] == ["measured"] * 3


def test_another_card_is_seen_by_the_base_and_by_the_batch_script(results: Path, plan: Plan) -> None:
    """The head cannot choose which ledger it is compared with, nor can both arms together where the batch script wrote the card down."""
    body = json.loads((head(results) / "record.json").read_bytes())
    write(head(results), node=body["node"] | {"gpu_model": "MI355X"})
    failure = judged(results, plan)[head(results)].failure
    assert failure is not None
    assert "node.gpu_model says MI355X" in failure.message
    write(head(results), node=body["node"])
    (results / "results-1-j/jobs/j" / FOUND).write_text('{"node": {"gpu_model": "NVIDIA H100"}}')
    assert {one.status for one in judged(results, plan).values()} == {"failed"}


@pytest.mark.parametrize("lie", ["another machine", "another number of requests"])
def test_a_head_cannot_speak_for_the_base(results: Path, plan: Plan, lie: str) -> None:
    """Where a recorder runs beside the arm's code, it can leave records in the base's name: they are refused, and witness nothing."""
    base = results / "results-1-j/jobs/j/run-0-base" / POINT.split("/")[1]
    body = json.loads((base / "record.json").read_bytes())
    update = {"node": body["node"] | {"hostname": "elsewhere"}}
    if lie == "another number of requests":
        update = {"load": body["load"] | {"requests": 7}}
    for number in range(9):
        folder = head(results).with_name(f"{number}-lie")
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(body | update))
    found = judged(results, plan)
    honest = {folder: one.status for folder, one in found.items() if not folder.name.endswith("-lie")}
    assert set(honest.values()) == {"measured"}, [one.failure for one in found.values()]
    assert {one.status for folder, one in found.items() if folder.name.endswith("-lie")} == {"failed"}


def test_half_a_letter_is_one_missing_point(results: Path, plan: Plan) -> None:
    """JSON may name half of a letter, which no file and no comment can hold: the report ended with an error in servematrix."""
    path = head(results) / "record.json"
    path.write_text(path.read_text().replace('"serve_argv": [', '"serve_argv": ["\\ud800",', 1))
    assert "ud800" in path.read_text()
    found = judged(results, plan)
    assert [one.point for one in missing(plan, list(found.values()), results)] == [POINT]
    for one in found.values():
        one.model_dump_json()
