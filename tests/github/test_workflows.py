"""The workflows: linted without findings, thin, and run by act against a stand-in for GitHub."""

from __future__ import annotations

import glob
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RECIPE, ROOT, write
from tests.github.acting import Acted, Acting, planned_and_said, pull_request, workflow
from tests.github.standin import REPOSITORY, StandIn
from utils.node import preflight
from utils.results.verdict.ledger_lines import Difference
from utils.setup import pythons

PYTHONS = pythons.found()
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
    "github sweep-plan": {"pull-requests": "read", "statuses": "read"},
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


@pytest.fixture
def acting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Acting]:
    """A repository whose `main` is this checkout; every call must be as GitHub describes it."""
    with StandIn() as stand_in:
        yield Acting(stand_in, tmp_path, lends=not request.node.get_closest_marker("unlent"))
    assert stand_in.state.problems == []


@pytest.mark.unlent
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
    assert "**6 points in one job would run: 5 server starts, at most" in body
    assert "changed: flags.max-num-seqs" in body or "flags.max-num-seqs" in body
    assert "recipes/qwen3moe-tiny-cpu-vllm.yaml:" in body
    assert f"`/sweep run {head}`" in body
    visible = re.sub(r"<details>.*?</details>", "", body, flags=re.DOTALL)
    assert len(visible.splitlines()) <= 40


SLOW = '  env: {FAKE_VLLM: "slow"}'
STUB = """\
r:
- pr: 42
  title: A slower thing
  why: [to see that it is found]
  expect: {32x16-tp1-c1: {tpot: "<= 0%"}}
"""


def made_ledger() -> str:
    """A MADE ledger of this machine: runs that vary by half a percent."""
    lines = []
    for number in range(10):
        for concurrency in (1, 2):
            line = Difference(
                day="2026-11-25",
                device=str(preflight.machine()["cpu_model"]),
                driver="",
                point=f"r/32x16-tp1-c{concurrency}",
                concurrency=concurrency,
                key="k1:" + "0" * 16,
                allocation=f"made-{number}",
                runs=(0, 1),
                image="made",
                node="made",
                values={"tput": 0.007, "ttft": 0.007, "tpot": -0.007},
            )
            lines.append(f"{line.model_dump_json()}\n")
    return "".join(lines)


@pytest.fixture
def swept(acting: Acting) -> Acting:
    """`main` has the small recipe; the FAKE vLLM is lent as the locked one; the data branch has a ledger."""
    write(acting.work / "recipes/r.yaml", RECIPE)
    local = acting.work / "recipes/clusters/local.yaml"
    local.write_text(f"{local.read_text()}sweeps: true\n")
    write(acting.work / "recipes/models/m/config.json", "{}")
    write(acting.work / "perf-changelog.yaml", "# entries\n")
    acting.lend_fake()
    acting.commit("a recipe", "main")
    acting.git("checkout", "-q", "--orphan", "data")
    acting.git("rm", "-rfq", ".")
    write(acting.work / "ledger.jsonl", made_ledger())
    acting.commit("noise", "data")
    acting.git("checkout", "-q", "main")
    return acting


def opened(acting: Acting, fault: str = "slow", more: str = "") -> str:
    """A pull request of this repository, slower, with its stub; the head."""
    if more:
        (acting.work / "recipes/r.yaml").write_text(RECIPE + more)
        acting.commit("more points", "main")
    acting.git("checkout", "-q", "-b", "change")
    recipe = acting.work / "recipes/r.yaml"
    recipe.write_text(
        RECIPE.replace(
            "  flags: {block-size: 16}", "  flags: {block-size: 16}\n" + SLOW.replace("slow", fault)
        )
        + more
    )
    write(acting.work / "perf-changelog.yaml", f"# entries\n{STUB}")
    head = acting.commit("slower", "change")
    acting.git("push", "-q", str(acting.remote), "HEAD:refs/pull/42/head")
    state = acting.stand_in.state
    state.remote = str(acting.remote)
    state.pull(42, head)
    state.pulls[42]["head"]["repo"]["full_name"] = REPOSITORY
    state.pulls[42]["base"]["sha"] = acting.git("rev-parse", "main")
    state.permissions["writer"] = "write"
    return head


def commanded(acting: Acting, body: str) -> Acted:
    """A comment of somebody who may write."""
    number = acting.stand_in.state.comment(42, "writer", body)
    issue = {"number": 42, "pull_request": {"url": "x"}}
    about = {"id": number, "body": body, "user": {"login": "writer"}, "author_association": "MEMBER"}
    return acting.act("command.yml", "issue_comment", {"action": "created", "issue": issue, "comment": about})


def test_from_a_sweep_command_to_the_changelog_commit(swept: Acting) -> None:
    """Approved, dispatched, planned, run, judged, confirmed, published: a comment, a commit with the entry alone, records, ledger, statuses."""
    head = opened(swept)
    state = swept.stand_in.state
    asked = commanded(swept, f"/sweep run {head}")
    assert asked.code == 0, asked.text
    assert len(state.dispatched) == 1
    state.checks[head] = "success"
    done = swept.sweep()
    assert done.code == 0, done.text
    assert set(done.jobs) == {"plan", "queue", "run", "collect", "confirm", "judge", "publish"}
    assert set(done.jobs.values()) == {"success"}

    report = next(body for body in state.bodies(42) if "servematrix:report" in body)
    assert "**Regression in 2 of 2 points" in report
    assert "| r/32x16-tp1-c1 | TPOT p50 ms | &lt;= 0% | fails |" in report
    assert f"head `{head[:10]}`" in report
    visible = re.sub(r"<details>.*?</details>", "", report, flags=re.DOTALL)
    assert len(visible.splitlines()) <= 40

    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    assert swept.git("diff", "--name-only", head, "o/change").split() == ["perf-changelog.yaml"], report
    assert swept.git("log", "--format=%an", "-1", "o/change") == "github-actions[bot]"
    entry = swept.git("show", "o/change:perf-changelog.yaml")
    assert entry.startswith(f"# entries\n{STUB}")
    assert "verdict: regression" in entry
    assert f"head: {{commit: {head}" in entry
    contexts = {sha: {one["context"] for one in known} for sha, known in state.statuses.items()}
    assert contexts[head] == {"servematrix/approved", "servematrix/sweep"}
    ours = swept.git("rev-parse", "o/change")
    assert contexts[ours] == {"servematrix/approved", "servematrix/sweep", "lint and test"}

    files = swept.git("ls-tree", "-r", "--name-only", "o/data").splitlines()
    assert sum(name.endswith("/32x16-tp1-c1/record.json") for name in files) == 8
    assert sum(name.endswith("requests.json.gz") for name in files) == 16
    lines = swept.git("show", "o/data:ledger.jsonl").splitlines()
    assert len(lines) == 20 + 4

    # once more, with our own commit as the head: the report is written again, and the branch goes on
    state.pulls[42]["head"]["sha"] = swept.git("rev-parse", "o/change")
    again = swept.sweep()
    assert "is not the head" in again.text, (
        "a sweep is of the head alone; a job that is run again has its plan already"
    )


def test_a_fork_whose_points_fail_gets_a_patch(swept: Acting) -> None:
    """Every run of the head breaks a gate: invalid with its reason, the entry as a patch, nothing pushed to anybody's branch."""
    head = opened(swept, fault="output-short")
    state = swept.stand_in.state
    state.pulls[42]["head"]["repo"]["full_name"] = "fork/bench"
    commanded(swept, f"/sweep run {head} r/*c1")
    done = swept.sweep()
    assert done.code == 0, done.text
    report = next(body for body in state.bodies(42) if "servematrix:report" in body)
    assert "**Invalid in 1 of 1 points" in report
    assert "output\\_lengths: 1 of 10 requests differ" in report
    assert "The entry, as a patch for this fork's branch" in report
    assert "+  missing:" in report
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    assert swept.git("rev-parse", "o/change") == head
    assert {one["state"] for one in state.statuses[head] if one["context"] == "servematrix/sweep"} == {
        "pending",
        "failure",
    }


def ended(*names: str, **outputs: str) -> dict[str, Any]:
    """Jobs that went well in an earlier attempt: GitHub runs them not again, and keeps their outputs."""
    job = {"runs-on": "ubuntu-24.04", "outputs": outputs, "steps": [{"run": "true"}]}
    return dict.fromkeys(names, job)


SKIPPED = {"confirm": {**ended("confirm")["confirm"], "if": "false"}}
"""Act works out the matrix of a job that it will skip, and fails where there is none yet."""


def test_a_job_that_broke_is_measured_again_alone(swept: Acting) -> None:
    """Re-running failed jobs: the second attempt's artifacts beside the first's, the report anew, the entry on top of our own commit."""
    more = "- {isl: 32, osl: 16, search: [{tp: 2, concurrency: 1}]}\n"
    head = opened(swept, fault="none", more=more)
    state = swept.stand_in.state
    commanded(swept, f"/sweep run {head}")
    swept.break_servers("--tensor-parallel-size 2")
    first = swept.sweep()
    assert (first.jobs["run"], first.jobs["publish"]) == ("failure", "success"), first.text
    report = next(body for body in state.bodies(42) if "servematrix:report" in body)
    assert "the canary of head: the server ended before it was ready" in report, report
    assert state.statuses[head][-1]["state"] == "failure"
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    state.pulls[42]["head"]["sha"] = swept.git("rev-parse", "o/change")

    commanded(swept, "/sweep rerun")
    assert state.rerun == [state.runs[0]["id"]]
    swept.break_servers("")
    plan = json.loads((swept.artifacts / "sweep-plan/plan.json").read_bytes())
    (broken,) = (job["id"] for job in plan["jobs"] if "tp2" in job["id"])
    jobs = json.dumps([{"id": broken, "runner": "servematrix"}])
    again = swept.sweep(
        "--env", "GITHUB_RUN_ATTEMPT=2", changed=ended("plan", count="2", jobs=jobs) | ended("queue")
    )
    assert again.code == 0, again.text
    left = sorted(path.name for path in swept.artifacts.glob("results-*"))
    assert [name[:9] for name in left if broken in name] == ["results-1", "results-2"]
    assert len(left) == 3
    report = next(body for body in state.bodies(42) if "servematrix:report" in body)
    assert "missing" not in report
    assert report.count("r/32x16-tp2-c1") > 0
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    assert swept.git("log", "--format=%an", f"{head}..o/change").split("\n") == ["github-actions[bot]"] * 2
    entry = swept.git("show", "o/change:perf-changelog.yaml")
    assert "32x16-tp2-c1: {" in entry
    assert "missing:" not in entry
    assert state.statuses[head][-1]["state"] == "success"


def test_a_cancelled_run_keeps_what_it_has(swept: Acting) -> None:
    """The runner sends SIGINT to the step (https://docs.github.com/actions, cancelling a run): the server ends, records travel, the report says what is missing."""
    head = opened(swept)
    state = swept.stand_in.state
    commanded(swept, f"/sweep run {head} runs=4")
    told: list[int] = []

    def cancel() -> None:
        while not glob.glob(f"{swept.folder}/**/jobs/*/run-0-base/*/record.json", recursive=True):  # noqa: PTH207 - folders come and go
            time.sleep(0.05)
        told.extend(swept.processes("sweep-run"))
        for process in told:
            os.kill(process, signal.SIGINT)

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    done = swept.sweep()
    canceller.join()
    assert len(told) == 1
    assert swept.processes("vllm.entrypoints") == []
    assert (done.jobs["run"], done.jobs["publish"]) == ("failure", "success"), done.text
    assert "exit status 130" in done.text
    report = next(body for body in state.bodies(42) if "servematrix:report" in body)
    for concurrency in (1, 2):
        assert (
            f"| r/32x16-tp1-c{concurrency} | CANCELLED: " in report
            or f"| r/32x16-tp1-c{concurrency} | cancelled: " in report
        ), report
    assert state.statuses[head][-1]["state"] == "failure"
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    kept = swept.git("ls-tree", "-r", "--name-only", "o/data")
    assert "run-0-base/32x16-tp1-c1/record.json" in kept


EVIL = 'x"; echo PWNED-$((6*7)); "$(echo PWNED-$((6*7)))`echo PWNED-$((6*7))`'


def test_what_a_pull_request_says_is_never_run(swept: Acting) -> None:
    """A branch, a title, a label, a comment, a description, a file's name that would be commands where they were pasted into a shell."""
    head = opened(swept)
    evil = swept.work / "recipes/models/m" / EVIL.replace("/", "")
    evil.write_text("{}")
    recipe = swept.work / "recipes/r.yaml"
    recipe.write_text(f"description: {json.dumps(EVIL)}\n{recipe.read_text()}")
    head = swept.commit(EVIL, "refs/pull/42/head")
    state = swept.stand_in.state
    state.pull(42, head, branch=EVIL)
    event = pull_request(swept, head, label={"name": EVIL})
    event["pull_request"] |= {"title": EVIL, "body": EVIL}
    event["pull_request"]["head"]["ref"] = EVIL
    said = [
        swept.act("plan.yml", "pull_request", event),
        commanded(swept, f"/sweep run {head} {EVIL}"),
        commanded(swept, f"/sweep plan {EVIL}"),
        swept.act(
            "sweep.yml",
            "workflow_dispatch",
            {
                "inputs": {
                    "pull": "42",
                    "sha": head,
                    "selectors": EVIL,
                    "runs": EVIL,
                    "pair": EVIL,
                    "budget": EVIL,
                }
            },
        ),
    ]
    assert not [line for one in said for line in one.lines if "PWNED-42" in line["msg"]]
    assert state.dispatched == []


def test_a_plan_that_is_asked_for(swept: Acting) -> None:
    """With selectors and options; the pull request's tree is read as data, and a wrong selector is answered."""
    head = opened(swept)
    asked = commanded(swept, "/sweep plan r/*c1 runs=4")
    assert asked.code == 0, asked.text
    (body,) = swept.stand_in.state.bodies(42)
    assert "**1 points in one job would run: 9 server starts" in body
    assert f"`/sweep run {head}`" in body
    commanded(swept, "/sweep plan nothing-like-it")
    (body,) = swept.stand_in.state.bodies(42)
    assert "There is no such plan" in body
    assert "no point matches nothing-like-it" in body


def test_new_keys_of_the_default_branch_end_in_a_pull_request(swept: Acting) -> None:
    """A first baseline: measured without a base, its entry proposed; once it is there, equal keys run nothing."""
    for recipe in sorted((swept.work / "recipes").glob("*.yaml")):
        if recipe.name != "r.yaml":
            recipe.unlink()
    swept.git("checkout", "-q", "main")
    head = swept.commit("one recipe", "main")
    state = swept.stand_in.state
    pushed = swept.act("pushed.yml", "push", {"after": head})
    assert pushed.code == 0, pushed.text
    (dispatched,) = state.dispatched
    assert dispatched["inputs"]["pull"] == "0"
    done = swept.sweep()
    assert done.code == 0, done.text
    assert len(state.opened) == 1, done.text
    (opened_pull,) = state.opened
    assert opened_pull["head"] == f"servematrix/baseline-{head[:12]}-{state.runs[0]['id']}"
    assert opened_pull["base"] == "main"
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    entry = swept.git("show", f"o/{opened_pull['head']}:perf-changelog.yaml")
    assert f"- title: Baseline at {head[:10]}" in entry
    assert "n: 0+2" in entry
    swept.git("merge", "-q", "--ff-only", f"o/{opened_pull['head']}")
    swept.git("push", "-q", str(swept.remote), "HEAD:refs/heads/main")
    again = swept.act("pushed.yml", "push", {"after": swept.git("rev-parse", "HEAD")})
    assert "nothing to measure" in again.text
    assert len(state.dispatched) == 1


def test_a_night_fills_the_ledger(swept: Acting) -> None:
    """One job of each recipe against itself; a ledger and records on the data branch, which is begun where it is not there."""
    for recipe in sorted((swept.work / "recipes").glob("*.yaml")):
        if recipe.name != "r.yaml":
            recipe.unlink()
    swept.git("checkout", "-q", "main")
    swept.commit("one recipe", "main")
    swept.git("push", "-q", str(swept.remote), ":refs/heads/data")
    done = swept.act("nightly.yml", "schedule", {"schedule": "17 1 * * *"})
    assert done.code == 0, done.text
    assert set(done.jobs.values()) == {"success"}
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    lines = [json.loads(line) for line in swept.git("show", "o/data:ledger.jsonl").splitlines()]
    assert {(line["point"], tuple(line["runs"])) for line in lines} == {
        (f"r/32x16-tp1-c{c}", runs) for c in (1, 2) for runs in ((0, 1), (1, 2))
    }


def test_outside_of_containers_nothing_of_a_pull_request_runs(swept: Acting) -> None:
    """Unless the default branch's cluster file says so; what the pull request's own says does not count."""
    local = swept.work / "recipes/clusters/local.yaml"
    text = local.read_text()
    local.write_text(text.replace("sweeps: true\n", ""))
    swept.commit("as it is shipped", "main")
    local.write_text(text)
    head = opened(swept)
    commanded(swept, f"/sweep run {head}")
    done = swept.sweep(changed=SKIPPED)
    assert done.code == 0, done.text
    assert any(
        "1 jobs are left out: local runs servers outside of containers" in line["msg"] for line in done.lines
    )
    assert swept.stand_in.state.statuses[head][-1]["description"] == "nothing to measure"


def test_a_commit_that_nobody_approved_is_not_measured(swept: Acting) -> None:
    """Nor one that is not the head; the answer says what is wanted."""
    head = opened(swept)
    inputs = {"pull": "42", "sha": head, "selectors": "", "runs": "", "pair": "", "budget": ""}
    done = swept.act("sweep.yml", "workflow_dispatch", {"inputs": inputs}, changed=SKIPPED)
    assert done.code != 0
    assert done.jobs == {"plan": "failure", "publish": "success"}
    state = swept.stand_in.state
    (body,) = state.bodies(42)
    assert body.startswith(f"The sweep of `{head[:10]}` came to no report: `nobody approved {head[:10]}")
    assert f"/sweep run {head}`" in body, "which can be copied"
    assert [one["state"] for one in state.statuses[head]] == ["error"]
    assert "record.json" not in swept.git("ls-tree", "-r", "--name-only", "data")


def test_a_report_is_written_only_while_its_commit_is_the_head(swept: Acting) -> None:
    """Somebody pushes while it is measured: raw data is kept, the status says so, no comment, no entry."""
    head = opened(swept)
    state = swept.stand_in.state
    commanded(swept, f"/sweep run {head} r/*c1 runs=2")
    done = swept.sweep("-j", "judge")
    assert done.code == 0, done.text
    state.pull(42, "f" * 40)
    state.trees["f" * 40] = {"recipes": "a" * 40}
    done = swept.sweep("-j", "publish", changed=ended("plan", "queue", "run", "collect", "confirm", "judge"))
    assert done.code == 0, done.text
    assert (
        state.statuses[head][-1]["description"] == f"{head[:10]} is not the head any more; nothing is written"
    )
    assert state.bodies(42) == []
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    assert swept.git("rev-parse", "o/change") == head
    assert "record.json" in swept.git("ls-tree", "-r", "--name-only", "o/data")


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
