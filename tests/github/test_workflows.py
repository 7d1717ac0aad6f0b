"""The workflow files: linted without findings, thin, and without rights that their commands do not need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.github.acting import workflow

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
    for used in re.findall(r"^\s*(?:- )?uses: (\S+)(.*)", text, re.MULTILINE):
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


RIGHTS = {
    "github plan": {},
    "github comment-plan": {"actions": "write", "pull-requests": "write", "statuses": "read"},
    "github command": {"actions": "write", "pull-requests": "write", "issues": "write", "statuses": "write"},
    "github plan-asked": {},
    "github comment-asked": {"pull-requests": "write"},
    "github pushed": {"actions": "write", "pull-requests": "read"},
    "github sweep-plan": {"pull-requests": "read", "statuses": "read", "actions": "read"},
    "github sweep-queue": {"actions": "read"},
    "github sweep-run": {},
    "github sweep-judge": {},
    "github sweep-publish": {
        "contents": "write",
        "pull-requests": "write",
        "statuses": "write",
        "checks": "read",
        "actions": "read",
    },
    "github nightly-plan": {},
    "github nightly-keep": {},
    "github nightly-publish": {"contents": "write"},
    "github site-publish": {"contents": "write"},
}
"""What the calls of each command want of a job's token, by https://docs.github.com/rest/authentication/permissions-required-for-github-apps."""


def test_each_job_has_the_rights_of_its_commands_and_no_others() -> None:
    """The stand-in plays no rights, so that a right that is missing would show on GitHub alone."""
    seen = set()
    for name in NAMES:
        for job in workflow(name)["jobs"].values():
            texts = [step.get("run", "") for step in job["steps"]]
            called = {word for text in texts for word in re.findall(r"github [a-z-]+", text)}
            seen |= called
            wanted = {"contents": "read"}
            for command in called:
                for right, level in RIGHTS[command].items():
                    wanted[right] = "write" if "write" in {level, wanted.get(right)} else level
            assert job["permissions"] == wanted, name
    assert seen == RIGHTS.keys() - {"github sweep-run"}, "which the composite action calls, without a token"


def test_publishing_alone_can_write_in_a_sweep() -> None:
    """Next to code that is not ours there is no token that writes."""
    for name in ("sweep.yml", "nightly.yml"):
        jobs = workflow(name)["jobs"]
        assert [job for job in jobs if "write" in jobs[job]["permissions"].values()] == ["publish"]


def test_no_group_decides_anything() -> None:
    """A fork's own workflow may be in any group of the repository, and would end or hold what is in it."""
    assert not [name for name in NAMES if "concurrency:" in (FOLDER / name).read_text()]


def test_all_workflows_are_short() -> None:
    """Under 700 lines together."""
    assert sum(len((FOLDER / name).read_text().splitlines()) for name in NAMES) < 700
