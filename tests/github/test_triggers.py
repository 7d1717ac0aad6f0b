"""What starts when, decided by GitHub's own parser and evaluator (npm: @actions/workflow-parser, @actions/expressions)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.github import description

FOLDER = ROOT / ".github/workflows"


def decided(workflow: str, name: str, event: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Whether a workflow starts for an event, and which jobs' conditions hold."""
    description.whole()  # npm has been there
    asked = {"name": name, "event": event, **more}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "node"), "triggers.mjs", str(FOLDER / workflow)],
        input=json.dumps(asked),
        cwd=ROOT / "tests/github",
        capture_output=True,
        text=True,
        check=True,
    )
    content: dict[str, Any] = json.loads(done.stdout)
    assert content["errors"] == []
    return content


def pull(action: str, base: str = "main", **more: Any) -> dict[str, Any]:
    return {"action": action, "pull_request": {"number": 42, "base": {"ref": base}}, **more}


@pytest.mark.parametrize(
    ("event", "plans"),
    [
        (pull("opened"), True),
        (pull("synchronize"), True),
        (pull("reopened"), True),
        (pull("closed"), True),
        (pull("edited", changes={"base": {"ref": {"from": "old"}}}), True),
        (pull("edited", changes={"title": {"from": "old"}}), False),
        (pull("labeled", label={"name": "foreign"}), False),
        (pull("assigned"), False),
        (pull("opened", base="stacked-on"), True),
    ],
)
def test_what_plans(event: dict[str, Any], plans: bool) -> None:  # noqa: FBT001 - from the table
    """Also a pull request that is stacked on another branch; a label or a title plans nothing."""
    found = decided("plan.yml", "pull_request", event)
    assert (found["starts"] and found["jobs"]["plan"]) is plans


def run_of(name: str, event: str, conclusion: str) -> dict[str, Any]:
    about = {
        "name": name,
        "event": event,
        "conclusion": conclusion,
        "head_branch": "b",
        "head_repository": {"full_name": "fork/bench"},
    }
    return {"action": "completed", "workflow_run": about}


@pytest.mark.parametrize(
    ("event", "comments"),
    [
        (run_of("plan", "pull_request", "success"), True),
        (run_of("plan", "pull_request", "failure"), True),
        (run_of("plan", "pull_request", "cancelled"), False),
        (run_of("plan", "pull_request", "skipped"), False),
        (run_of("plan", "pull_request", "action_required"), False),
        (run_of("plan", "push", "success"), False),
        (run_of("checks", "pull_request", "success"), False),
    ],
)
def test_what_comments(event: dict[str, Any], comments: bool) -> None:  # noqa: FBT001 - from the table
    """After a plan of a pull request that was not overtaken."""
    found = decided("comment.yml", "workflow_run", event)
    assert (found["starts"] and found["jobs"]["comment"]) is comments


@pytest.mark.parametrize(
    ("action", "body", "on_pull", "who", "hears"),
    [
        ("created", "/sweep help", True, "MEMBER", True),
        ("created", "/sweep help", True, "COLLABORATOR", True),
        ("created", "/sweep help", True, "CONTRIBUTOR", True),
        ("created", "/sweep run", True, "NONE", False),
        ("created", "/sweep run", True, "FIRST_TIMER", False),
        ("created", "/sweep run", True, "FIRST_TIME_CONTRIBUTOR", False),
        ("created", "hello", True, "MEMBER", False),
        ("edited", "/sweep help", True, "MEMBER", False),
        ("created", "/sweep help", False, "MEMBER", False),
    ],
)
def test_what_is_heard(action: str, body: str, who: str, *, on_pull: bool, hears: bool) -> None:
    """A new comment of a pull request with the word in it, of somebody whom GitHub knows here; API and parser decide the rest."""
    issue = {"number": 42} | ({"pull_request": {"url": "x"}} if on_pull else {})
    found = decided(
        "command.yml",
        "issue_comment",
        {"action": action, "issue": issue, "comment": {"body": body, "author_association": who}},
    )
    assert (found["starts"] and bool(found["jobs"]["command"])) is hears


def swept(results: dict[str, str], count: str = "1", again: str = "0", **more: Any) -> dict[str, bool]:
    inputs = {"pull": "42", "sha": "a" * 40}
    needs = {
        name: {"result": result, "outputs": {"count": count if name == "plan" else again, "jobs": "[]"}}
        for name, result in results.items()
    }
    event = {"inputs": inputs, "repository": {"default_branch": "main"}}
    jobs: dict[str, bool] = decided("sweep.yml", "workflow_dispatch", event, needs=needs, **more)["jobs"]
    return jobs


def test_a_sweep_goes_on_with_what_came_back() -> None:
    """A job that broke ends nothing; what nobody flagged is not confirmed; a plan without jobs runs none; the end is always told."""
    broken = swept(
        {
            "plan": "success",
            "queue": "success",
            "run": "failure",
            "collect": "success",
            "confirm": "skipped",
            "judge": "success",
            "publish": "success",
        }
    )
    assert broken == {
        "plan": True,
        "queue": True,
        "run": True,
        "collect": True,
        "confirm": False,
        "judge": True,
        "publish": True,
    }
    flagged = swept(
        {
            "plan": "success",
            "queue": "success",
            "run": "success",
            "collect": "success",
            "confirm": "failure",
            "judge": "success",
            "publish": "success",
        },
        again="2",
    )
    assert flagged["confirm"]
    assert flagged["judge"]
    empty = swept(
        {
            "plan": "success",
            "queue": "skipped",
            "run": "skipped",
            "collect": "skipped",
            "confirm": "skipped",
            "judge": "skipped",
        },
        count="0",
    )
    assert empty == {
        "plan": True,
        "queue": False,
        "run": False,
        "collect": False,
        "confirm": False,
        "judge": False,
        "publish": True,
    }
    stopped = swept(
        {"plan": "success", "queue": "success", "run": "cancelled", "collect": "success", "judge": "success"},
        again="1",
        cancelled=True,
    )
    assert stopped["collect"], "what was measured before is kept"
    assert stopped["judge"]
    assert stopped["publish"]
    assert not stopped["confirm"]
    waited = swept({"plan": "success", "queue": "cancelled", "run": "skipped"})
    assert not waited["collect"], "what was never measured overwrites no report"
    assert waited["publish"]
    refused = swept({"plan": "failure"}, count="")
    assert [name for name, runs in refused.items() if runs] == ["plan", "publish"], (
        "it says why there is no report"
    )


def test_a_sweep_is_of_the_default_branch_alone() -> None:
    """Dispatched on another branch it plans nothing, and so does nothing."""
    jobs = swept(
        {"plan": "skipped", "run": "skipped", "collect": "skipped", "judge": "skipped"}, ref_name="evil"
    )
    assert not any(jobs.values())
