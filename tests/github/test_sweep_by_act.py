"""From a `/sweep` command to the changelog's commit, run by act against a stand-in for GitHub."""

from __future__ import annotations

import re

import pytest

from tests.github.acting import Acting
from tests.github.sweeping import SKIPPED, STUB, commanded, ended, opened


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
    (judged_by,) = (name for name in files if name.startswith("ledgers/"))
    text = swept.git("show", f"o/data:{judged_by}")
    assert len(text.splitlines()) == 20, "the ledger as it was when the sweep was first judged"
    assert re.fullmatch(r"ledgers/[0-9a-f]{64}\.jsonl", judged_by)
    assert f"ledger {judged_by[8:18]}" in report, "its name is in the comment"

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


@pytest.mark.hostile
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


@pytest.mark.hostile
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
