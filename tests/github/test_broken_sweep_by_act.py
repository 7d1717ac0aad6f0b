"""A sweep that breaks, is cancelled, or of which a pull request wants more than a measurement, run by act."""

from __future__ import annotations

import glob
import json
import os
import signal
import threading
import time

import pytest

from tests.github.acting import Acting, pull_request
from tests.github.sweeping import SKIPPED, commanded, ended, opened


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


@pytest.mark.hostile
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


@pytest.mark.hostile
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
