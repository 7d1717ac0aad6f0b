"""`run --pair --profile decode` with the FAKE vLLM, which has no profiler: which point is profiled, and that a verdict outlives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from tests.conftest import Cli
from tests.utils.pipeline.test_pair_run import Pairs
from utils.pipeline.profile_pair import of_one
from utils.pipeline.reasons import traces
from utils.profile.pair import FOLDER
from utils.results.collect import collect

ASKED = ("r", "--pair", "main", "--no-confirm", "--profile", "decode")


@pytest.fixture
def pairs(cli: Cli, git_tree: Path, fake_environment: Path, tmp_path: Path) -> Pairs:
    """A tree with one commit, and nothing measured yet."""
    return Pairs(cli, git_tree, fake_environment, tmp_path)


def test_a_server_without_a_profiler_costs_no_verdict(pairs: Pairs) -> None:
    """Both arms are started once more for one point; no trace comes, which is said, and the verdict is what it was."""
    pairs.slow()
    done = pairs.run("slow", *ASKED)
    out = pairs.folder / "slow"
    assert "in both arms: its TPOT moved most" in done.stdout, done.stdout + done.stderr
    assert "the verdict has no reason: the profiles have no trace" in done.stdout
    assert done.returncode == Exit.GATE_FAILED
    assert traces(out) == {}
    assert {one.status for one in collect([out])} == {"measured"}, "nobody judges what was profiled"
    found = json.loads((out / "verdict.json").read_text())
    assert found["reasons"] == []
    assert found["points"][0]["metrics"]["tpot"]["percent"] == pytest.approx(20, abs=2)
    plan = Plan.from_json(json.loads((out / FOLDER / "run/plan.json").read_text()))
    assert [(job.arms, len(job.points)) for job in plan.jobs] == [(["base", "head"], 1)]
    whole = Plan.from_json(json.loads((out / "plan.json").read_text()))
    assert of_one(whole, plan.jobs[0].points[0].id).jobs[0].base is not None
    with pytest.raises(HarnessError, match="has no base in this plan"):
        of_one(whole, "r/other")
