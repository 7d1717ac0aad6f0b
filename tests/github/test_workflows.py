"""The workflows: linted without findings, thin, and run by act against a stand-in for GitHub."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.github.acting import Acting, workflow
from tests.github.standin import StandIn

FOLDER = ROOT / ".github/workflows"
NAMES = sorted(path.name for path in FOLDER.glob("*.yml"))
BIN = Path(sys.executable).parent


def linted(*command: str) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_has_no_findings() -> None:
    """The pedantic persona; each exception stands in the file with its reason."""
    linted("zizmor", "--offline", "--persona", "pedantic", "--quiet", ".github")
    for name in NAMES:
        for ignored in re.findall(r"zizmor: ignore\[[\w-]+\](.*)", (FOLDER / name).read_text()):
            assert len(ignored.strip()) > 20, "an exception wants its reason"


def test_actionlint_and_the_schema_have_no_findings() -> None:
    """With shellcheck for what stands in `run:`."""
    linted("actionlint", "-shellcheck", str(BIN / "shellcheck"))
    linted(
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *(str(FOLDER / name) for name in NAMES),
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_workflow_has_no_rights_at_its_top_and_a_limit_on_each_job(name: str) -> None:
    """Nothing of an event is pasted into a shell; credentials do not stay in the checkout; actions are pinned to a commit."""
    text, content = (FOLDER / name).read_text(), workflow(name)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 24 * 60
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
    for used in re.findall(r"uses: (\S+)(.*)", text):
        assert used[0].startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used[0])
        assert used[0].startswith("./") or re.search(r"# v\d+\.\d+\.\d+", used[1])


def test_what_runs_a_pull_requests_own_file_has_no_rights() -> None:
    """No secret, no token that writes, no machine of ours."""
    for name in NAMES:
        content = workflow(name)
        events = next(value for key, value in content.items() if str(key) == "True")  # YAML 1.1 reads `on` so
        if "pull_request" not in events:
            continue
        assert "secrets." not in (FOLDER / name).read_text()
        for job in content["jobs"].values():
            assert job["permissions"] == {"contents": "read"}
            assert job["runs-on"] == "ubuntu-24.04"


def test_all_workflows_are_short() -> None:
    """Under 700 lines together."""
    assert sum(len((FOLDER / name).read_text().splitlines()) for name in NAMES) < 700


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Acting]:
    """A repository whose `main` is this checkout; every call must be as GitHub describes it."""
    with StandIn() as stand_in:
        yield Acting(stand_in, tmp_path)
    assert stand_in.state.problems == []


def pull_request(acting: Acting, head: str, action: str = "opened", **more: Any) -> dict[str, Any]:
    base = acting.git("rev-parse", "main")
    about = {"number": 42, "base": {"sha": base, "ref": "main"}, "head": {"sha": head, "ref": "change"}}
    return {"action": action, "pull_request": about, **more}


def test_from_a_pull_request_to_the_plan_comment(acting: Acting) -> None:
    """`plan` without a token; `comment` with the default branch's code; the number comes from the API."""
    acting.git("checkout", "-q", "-b", "change")
    recipe = acting.work / "recipes/qwen3moe-tiny-cpu-vllm.yaml"
    recipe.write_text(
        recipe.read_text().replace("enforce-eager: true", "enforce-eager: true\n    max-num-seqs: 64")
    )
    head = acting.commit("a change `@everyone` <img src=x>", "refs/pull/42/head")
    planned = acting.act("plan.yml", "pull_request", pull_request(acting, head))
    assert planned.code == 0, planned.text
    assert planned.jobs == {"plan": "success"}
    state = acting.stand_in.state
    assert state.calls == []

    state.pull(42, head)
    state.trees[head] = {"recipes": "a" * 40}
    state.artifact(77, {"plan.json": (acting.artifacts / "plan/plan.json").read_bytes()})
    about = {
        "id": 77,
        "event": "pull_request",
        "conclusion": "success",
        "head_sha": head,
        "head_branch": "change",
        "head_repository": {"full_name": "acme/bench", "owner": {"login": "acme"}},
        "html_url": "https://github.com/acme/bench/actions/runs/77",
    }
    said = acting.act("comment.yml", "workflow_run", {"action": "completed", "workflow_run": about})
    assert said.code == 0, said.text
    (body,) = state.bodies(42)
    assert "**6 points in one job would run: 5 server starts, at most" in body
    assert "changed: flags.max-num-seqs" in body or "flags.max-num-seqs" in body
    assert "recipes/qwen3moe-tiny-cpu-vllm.yaml:" in body
    assert f"`/sweep run {head[:10]}`" in body
    visible = re.sub(r"<details>.*?</details>", "", body, flags=re.DOTALL)
    assert len(visible.splitlines()) <= 40
