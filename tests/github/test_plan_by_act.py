"""From a pull request to its plan's comment, run by act against a stand-in for GitHub."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import RECIPE, write
from tests.github.acting import Acting, planned_and_said, pull_request
from utils.setup import pythons

PYTHONS = pythons.found()


@pytest.mark.unlent
@pytest.mark.hostile
def test_from_a_pull_request_to_the_plan_comment(acting: Acting) -> None:
    """`plan` without a token; `comment` with the default branch's code; the number comes from the API.

    Each job makes the light environment for itself, which has all that they need; on GitHub's machines with Python 3.12.
    """
    assert (3, 12) in PYTHONS, "this test wants a Python 3.12, as GitHub's machines have it"
    acting.variables["SERVEMATRIX_PYTHON"] = PYTHONS[3, 12]
    planned, said, head = planned_and_said(acting)
    assert planned.code == 0, planned.text
    assert planned.jobs == {"plan": "success"}
    assert said.code == 0, said.text
    assert "making .venv-light" in said.text
    (body,) = acting.stand_in.state.bodies(42)
    assert "**6 points in one job would run: 5 server starts, about" in body
    assert "changed: flags.max-num-seqs" in body or "flags.max-num-seqs" in body
    assert "recipes/qwen3moe-tiny-cpu-vllm.yaml:" in body
    assert f"`/sweep run {head}`" in body
    visible = re.sub(r"<details>.*?</details>", "", body, flags=re.DOTALL)
    assert len(visible.splitlines()) <= 40


def test_a_stacked_pull_request_is_planned_against_what_it_stands_on(acting: Acting) -> None:
    """Only its own change runs; with the default branch as its base, after an edit, both do."""
    recipes = acting.work / "recipes"
    write(recipes / "r.yaml", RECIPE)
    write(recipes / "s.yaml", RECIPE)
    write(recipes / "models/m/config.json", "{}")
    base = acting.commit("two recipes", "main")
    changed = RECIPE.replace("block-size: 16", "block-size: 32")
    acting.git("checkout", "-q", "-b", "below")
    write(recipes / "r.yaml", changed)
    below = acting.commit("below", "below")
    acting.git("checkout", "-q", "-b", "change")
    write(recipes / "s.yaml", changed)
    head = acting.commit("on top", "refs/pull/42/head")

    def planned(on: str, action: str, **more: Any) -> set[str]:
        event = pull_request(acting, head, action, **more)
        event["pull_request"]["base"] = {"sha": on, "ref": "x"}
        done = acting.act("plan.yml", "pull_request", event)
        assert done.code == 0, done.text
        plan = json.loads((acting.artifacts / "plan/plan.json").read_bytes())
        assert {job["base"] is not None for job in plan["jobs"]} == {True}
        return {point["id"].split("/")[0] for job in plan["jobs"] for point in job["points"]}

    assert planned(below, "opened") == {"s"}
    assert planned(base, "edited", changes={"base": {"ref": {"from": "below"}}}) == {"r", "s"}
