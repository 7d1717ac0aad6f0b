"""The judge on a real pair (two H200s, 2026-11-27) in which a kernel was compiled during a load: it comes to the same three points and one that is invalid."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING

from matrix.plan import Plan
from tests.conftest import ROOT
from utils.node import gates, record_file
from utils.results.recompute import figures, left
from utils.results.recompute.asked import Asked
from utils.sweeps.recheck import rechecked
from utils.sweeps.returned import taken

if TYPE_CHECKING:
    from pathlib import Path

    from utils.node.record import Record

PAIR = ROOT / "kernels/minimax_m3_ep/results/2026-11-27-h200-mxfp8-pair"


FOREIGN = 0.2
"""Of the cores: what others may use, by the cluster file."""


def with_new_gates(path: Path) -> None:
    """Gates that the harness of then did not know are today's, and so are the sentences of gates; what passed stays as it was."""
    one, plan = record_file.read(path), Plan.from_json(json.loads((PAIR / "plan.json").read_bytes()))
    arm = plan.jobs[0].of(one.arm)
    point = next(point for point in arm.points if point.id == one.point)
    today = figures.evidence(Asked(arm, point, one.block, FOREIGN), one, left.read(path.parent))
    passed = {gate.name: gate.passed for gate in one.gates}
    found = [
        gate.model_copy(update={"passed": passed.get(gate.name, gate.passed)}) for gate in gates.judge(today)
    ]
    record_file.save(one.model_copy(update={"gates": found}), path.parent)


def by_run(root: Path) -> dict[str, Record]:
    """What the judge makes of the records below a folder."""
    made = Plan.from_json(json.loads((PAIR / "plan.json").read_bytes()))
    assert made.pair is not None
    plan = made.model_copy(update={"pair": made.pair.model_copy(update={"commit": "b" * 40})})
    judged = rechecked(taken(root, plan, [], "991", "d" * 40), plan)
    return {folder.parent.name: one for folder, one in judged.items()}


def test_a_kernel_compiled_in_a_load_is_found_again(tmp_path: Path) -> None:
    """From the server's own log; the runs beside it stay measured, and a record that leaves the gate out is refused."""
    job = tmp_path / "results-1-j/jobs/j"
    shutil.copytree(PAIR, job)
    for log in job.rglob("server.log.gz"):
        log.with_suffix("").write_bytes(gzip.decompress(log.read_bytes()))
    for path in job.rglob("record.json"):
        with_new_gates(path)
    found = by_run(tmp_path)
    assert [found[run].status for run in sorted(found)] == ["measured", "measured", "invalid", "measured"]
    assert [gate.name for gate in found["run-2-head"].gates if not gate.passed] == ["jit"]

    (path,) = job.glob("run-2-head/*/record.json")
    body = json.loads(path.read_bytes())
    body["status"], body["gates"] = "measured", [one for one in body["gates"] if one["name"] != "jit"]
    path.write_text(json.dumps(body))
    failure = by_run(tmp_path)["run-2-head"].failure
    assert failure is not None
    assert failure.reason == "RECORD_FORGED"
