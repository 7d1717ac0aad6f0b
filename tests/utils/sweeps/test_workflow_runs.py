"""Runs of the sweep's workflow are those that the default branch issued, whatever a run's title, file or artifact says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from matrix.errors import Exit
from matrix.plan import Plan
from tests.github.state import REPOSITORY, Fault
from tests.utils.conftest import HEAD, GitHub
from tests.utils.sweeps.made import swept
from utils.github import pulls
from utils.sweeps import baseline, queue, react, workflow_runs

pytestmark = pytest.mark.hostile

FORGED: dict[str, dict[str, Any]] = {
    "by a pull request's own file": {"event": "pull_request"},
    "on a push of a fork": {"event": "push", "head_repository": "evil/bench"},
    "dispatched in a fork": {"head_repository": "evil/bench"},
    "dispatched on another branch": {"head_branch": "mine"},
    "another file": {"path": ".github/workflows/other.yml"},
    "a title of many digits": {"display_title": f"sweep #{'9' * 400} {HEAD}"},
    "a title with more": {"display_title": f"sweep #42 {HEAD} x"},
}


def forged(github: GitHub, how: str, status: str = "queued") -> int:
    """A run that is not the default branch's, newer than all."""
    number = github.state.sweep(42, HEAD, status, None if status == "queued" else "failure")
    change = dict(FORGED[how])
    if owner := change.pop("head_repository", None):
        github.state.runs[0]["head_repository"]["full_name"] = owner
    github.state.runs[0] |= change
    return number


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_run_is_invisible(github: GitHub, how: str) -> None:
    """It is ahead of nobody, is not cancelled, is not run again, and its plan is not read."""
    run = forged(github, how)
    github.state.artifact(run, {"plan.json": b"{"}, name=queue.PLAN)
    mine = github.state.sweep(42, HEAD, "queued")
    assert queue.Queue(github.api).ahead(mine).sweeps == 0
    assert [one.run for one in workflow_runs.of_pull(github.api, 42)] == [mine]
    react.to_comment(github.comment("/sweep cancel"))
    assert github.state.cancelled == [mine]
    assert not [call for call in github.state.calls if f"/runs/{run}/" in call]


@pytest.mark.parametrize("how", FORGED)
def test_a_rerun_repeats_our_own(github: GitHub, how: str) -> None:
    """Also where a newer run bears the pull request's title and commit."""
    mine = github.state.sweep(42, HEAD, "completed", "failure")
    forged(github, how, "completed")
    react.to_comment(github.comment("/sweep rerun"))
    assert github.state.rerun == [mine]


def test_real_runs_are_found_behind_many_forged_ones(github: GitHub) -> None:
    """Page by page: a hundred newer runs hide none."""
    mine = github.state.sweep(42, HEAD, "queued")
    for _ in range(130):
        forged(github, "by a pull request's own file")
    assert [one.run for one in workflow_runs.alive(github.api)] == [mine]


@pytest.mark.parametrize("walltime", [10**400, -1, 10**9, "1e9", None, 1.5], ids=lambda value: str(value)[:6])
def test_a_plan_with_numbers_that_cannot_be_stops_nobody(github: GitHub, walltime: object) -> None:
    """A neighbour whose plan says so counts as not planned; nothing raises."""
    text = swept("c").replace(b'"walltime_s":19080', f'"walltime_s":{walltime}'.encode())
    assert text != swept("c")
    bad = github.state.sweep(50, "1" * 40, "in_progress")
    github.state.artifact(bad, {"plan.json": text}, name=queue.PLAN)
    mine = github.state.sweep(42, HEAD, "queued")
    ahead = queue.Queue(github.api).ahead(mine)
    assert (ahead.sweeps, ahead.unplanned, ahead.hours) == (1, 1, 0)


def test_one_neighbour_that_github_refuses_keeps_none_from_being_told(github: GitHub) -> None:
    """The status of one commit cannot be written; the other sweep hears that a place is free."""
    first = github.state.sweep(50, "1" * 40, "queued")
    second = github.state.sweep(42, HEAD, "queued")
    for sha in ("1" * 40, HEAD):
        pulls.status(github.api, sha, queue.CONTEXT, "pending", description="x", url="https://e.org")
    github.state.faults.append(Fault("POST", f"/repos/{REPOSITORY}/statuses/{'1' * 40}", 422))
    queue.tell_waiting(github.api, first - 1)
    said = pulls.newest(github.api, HEAD, queue.CONTEXT)
    assert said is not None
    assert said["description"] == "a sweep is ahead of it, 1 not planned yet"
    assert second > first


def test_of_sweeps_of_the_default_branch_that_began_together_the_first_alone_measures(github: GitHub) -> None:
    """Pushes within seconds start one each, for none sees the other's yet; each run sees those that were made before it."""
    runs = [github.state.sweep(0, HEAD, status) for status in ("in_progress", "queued", "pending")]
    github.state.sweep(42, HEAD, "in_progress")
    seen = [baseline.is_second(replace(github.event("workflow_dispatch"), run=str(run))) for run in runs]
    assert seen == [False, True, True]


def test_a_sweep_that_is_over_or_forged_holds_no_baseline_back(github: GitHub) -> None:
    """One that ended, one of a pull request, and one that a fork's own file made."""
    github.state.sweep(0, HEAD, "completed", "success")
    github.state.sweep(42, HEAD, "in_progress")
    forged = github.state.sweep(0, HEAD, "in_progress")
    next(one for one in github.state.runs if one["id"] == forged)["head_branch"] = "theirs"
    mine = github.state.sweep(0, HEAD, "in_progress")
    assert not baseline.is_second(replace(github.event("workflow_dispatch"), run=str(mine)))


@pytest.mark.parametrize(("owner", "waits"), [("acme", True), ("evil", False)])
def test_a_branch_of_a_fork_holds_no_baseline_back(
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    waits: bool,  # noqa: FBT001 - from the table
) -> None:
    """Anybody may name a branch of their own as ours are named: new keys would never be measured."""
    github.state.pull(50, "1" * 40, branch=f"{baseline.BRANCH}x", owner=owner)
    made = Plan.from_json(json.loads(swept("c")))
    monkeypatch.setattr(baseline, "plan", lambda _: made)
    monkeypatch.setattr(baseline, "from_environment", lambda: github.event("push", after=HEAD))
    monkeypatch.setattr(baseline, "commit_of", lambda *_: HEAD)
    assert baseline.start_where_new() is Exit.OK
    assert len(github.state.dispatched) == (0 if waits else 1)
