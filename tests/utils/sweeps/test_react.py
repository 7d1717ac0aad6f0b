"""Comments of people, pushes and closed pull requests, against a stand-in whose every call and answer GitHub's own description accepts."""

from __future__ import annotations

from typing import Any

import pytest

from matrix.errors import Exit, HarnessError
from tests.github.state import Fault
from tests.utils.conftest import HEAD, TREE, GitHub
from tests.utils.sweeps.made import OTHER, RUN, plan
from utils.sweeps import approval, react


def reaction(github: GitHub) -> str:
    return github.state.reactions[-1][1]


def test_a_writers_run_approves_the_head_and_starts_a_sweep(github: GitHub) -> None:
    """The status is bound to the tree; the sweep gets what was asked for, on the default branch."""
    event = github.comment(f"/sweep run {HEAD} qwen3moe-* runs=4 budget=2")
    assert react.to_comment(event) is Exit.OK
    assert reaction(github) == "rocket"
    assert github.state.dispatched == [
        {
            "ref": "main",
            "inputs": {
                "pull": "42",
                "sha": HEAD,
                "selectors": "qwen3moe-*",
                "runs": "4",
                "pair": "",
                "budget": "2",
            },
            "return_run_details": True,
        }
    ]
    assert approval.is_approved(github.api, HEAD)
    approved, waiting = github.state.statuses[HEAD]
    assert approved["context"] == "servematrix/approved"
    assert waiting["description"] == "on its way; nothing is ahead of it"
    assert waiting["target_url"].endswith(f"/actions/runs/{github.state.runs[0]['id']}")


def test_a_sweep_that_is_started_is_accepted_whatever_fails_afterwards(github: GitHub) -> None:
    """The queue cannot be read: nobody is asked to try again, for then there would be two."""
    github.state.faults.append(Fault("GET", "/sweep.yml/runs", 403, times=9))
    assert react.to_comment(github.comment(f"/sweep run {HEAD}")) is Exit.OK
    assert reaction(github) == "rocket"
    assert len(github.state.dispatched) == 1


def test_an_approval_is_for_the_tree_without_the_changelog(github: GitHub) -> None:
    """The bot's own commit keeps it; anything else does not, and nobody else's status counts."""
    react.to_comment(github.comment(f"/sweep run {HEAD}"))
    github.state.trees[HEAD]["perf-changelog.yaml"] = "d" * 40
    assert approval.is_approved(github.api, HEAD)
    github.state.trees[HEAD]["recipes"] = "d" * 40
    assert not approval.is_approved(github.api, HEAD)
    github.state.trees[HEAD] = dict(TREE)
    github.state.statuses[HEAD][0]["creator"]["login"] = "reader"
    assert not approval.is_approved(github.api, HEAD)


def test_a_commit_that_is_not_the_head_is_refused(github: GitHub) -> None:
    """With the one that is; nothing is started."""
    assert react.to_comment(github.comment(f"/sweep run {OTHER}")) is Exit.REFUSED
    assert reaction(github) == "confused"
    assert f"comment `/sweep run {HEAD}`" in github.state.bodies(42)[-1]
    assert (github.state.dispatched, github.state.statuses) == ([], {})


@pytest.mark.parametrize("user", ["reader", "stranger", "a/../b", "x" * 60])
def test_who_may_not_write_gets_a_reaction_alone(github: GitHub, user: str) -> None:
    """Asked of the API, whatever the event says of its author."""
    event = github.comment(f"/sweep run {HEAD}", user)
    event.payload["comment"]["author_association"] = "OWNER"
    assert react.to_comment(event) is Exit.REFUSED
    assert reaction(github) == "-1"
    assert github.state.bodies(42) == []
    assert github.state.dispatched == []


def test_a_mistake_is_answered_once(github: GitHub) -> None:
    """One sentence, and a reaction."""
    assert react.to_comment(github.comment("/sweep runn")) is Exit.REFUSED
    assert github.state.bodies(42) == ["there is no `/sweep runn`; did you mean 'run'?"]
    assert reaction(github) == "confused"


def test_what_is_no_command_makes_no_call(github: GitHub) -> None:
    """Nor does a comment on an issue, or one that was edited."""
    react.to_comment(github.comment("nice work"))
    on_issue = github.comment("/sweep help")
    del on_issue.payload["issue"]["pull_request"]
    react.to_comment(on_issue)
    edited = github.comment("/sweep help")
    edited.payload["action"] = "edited"
    react.to_comment(edited)
    assert github.state.calls == []


def test_help_and_a_closed_pull_request(github: GitHub) -> None:
    """Help is always there; a closed one runs nothing."""
    assert react.to_comment(github.comment("/sweep help")) is Exit.OK
    assert "/sweep run SHA" in github.state.bodies(42)[-1]
    github.state.pull(42, HEAD, state="closed")
    github.state.comments[42] = []
    assert react.to_comment(github.comment(f"/sweep run {HEAD}")) is Exit.REFUSED
    assert "closed" in github.state.bodies(42)[-1]


def test_cancel_ends_what_is_alive_of_this_pull_request_alone(github: GitHub) -> None:
    """One that ended meanwhile (409) is no failure."""
    gone = github.state.sweep(42, HEAD, "in_progress")
    alive = github.state.sweep(42, HEAD, "queued")
    github.state.sweep(42, HEAD, "completed", "success")
    github.state.sweep(43, OTHER, "in_progress")
    github.state.faults.append(Fault("POST", f"/actions/runs/{gone}/cancel", 409))
    assert react.to_comment(github.comment("/sweep cancel")) is Exit.OK
    assert github.state.cancelled == [alive]
    react.to_comment(github.comment("/sweep cancel", pull=42))
    github.state.runs.clear()
    react.to_comment(github.comment("/sweep cancel"))
    assert github.state.bodies(42)[-1] == "no sweep of this pull request is running"


def test_rerun_wants_a_sweep_of_this_tree_that_broke(github: GitHub) -> None:
    """None, one at work, one that went well, one of another tree: each is refused with what to do; the broken one runs again."""
    github.state.trees[OTHER] = TREE | {"recipes": "d" * 40}
    for status, conclusion, sha, says in (
        ("", "", "", "there was no sweep yet"),
        ("in_progress", None, HEAD, "still running"),
        ("completed", "success", HEAD, "nothing in the last sweep is broken"),
        ("completed", "failure", OTHER, f"start one of the head: `/sweep run {HEAD}`"),
    ):
        if status:
            github.state.sweep(42, sha, status, conclusion)
        assert react.to_comment(github.comment("/sweep rerun")) is Exit.REFUSED
        assert says in github.state.bodies(42)[-1]
    broken = github.state.sweep(42, HEAD, "completed", "failure")
    assert react.to_comment(github.comment("/sweep rerun")) is Exit.OK
    assert github.state.rerun == [broken]
    assert github.state.statuses[HEAD][-1]["description"] == "what broke is measured again"


def test_a_push_ends_sweeps_of_other_trees_and_the_bots_commit_none(github: GitHub) -> None:
    """The tree without the changelog decides, and our approval of it: a person's own commit of the changelog has none."""
    approval.approve(github.api, HEAD, "the sweep's own commit", "https://e.org/x")
    github.state.trees[OTHER] = TREE | {"perf-changelog.yaml": "d" * 40}
    github.state.artifact(RUN, {"plan.json": plan()})
    same = github.state.sweep(42, OTHER, "in_progress")
    react.to_plan(github.planned(RUN))
    assert github.state.cancelled == []
    github.state.trees[OTHER]["kernels"] = "d" * 40
    react.to_plan(github.planned(RUN))
    assert github.state.cancelled == [same]
    github.state.trees[OTHER] = TREE | {"perf-changelog.yaml": "d" * 40}
    github.state.statuses.clear()
    react.to_plan(github.planned(RUN))
    assert github.state.cancelled == [same, same]


def test_closing_ends_its_sweeps(github: GitHub) -> None:
    """And writes nothing."""
    github.state.pull(42, HEAD, state="closed")
    alive = github.state.sweep(42, HEAD, "in_progress")
    react.to_plan(github.planned(RUN))
    assert github.state.cancelled == [alive]
    assert github.state.bodies(42) == []


@pytest.mark.hostile
def test_a_tree_that_github_does_not_list_whole_is_not_approved(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out of the list could change after an approval; nor do names with a line's end stand for two files."""
    answer: dict[str, Any] = {"truncated": False, "tree": []}
    monkeypatch.setattr(type(github.api), "call", lambda *_, **__: answer)
    one = {"mode": "100644", "sha": "a" * 40, "path": "x"}
    other = {"mode": "100644", "sha": "b" * 40, "path": "y"}
    answer["tree"] = [one, other]
    two_files = approval.tree_digest(github.api, HEAD)
    answer["tree"] = [one | {"path": f"x\n100644 {'b' * 40} y"}]
    assert approval.tree_digest(github.api, HEAD) != two_files
    answer["truncated"] = True
    with pytest.raises(HarnessError, match="put them into folders"):
        approval.tree_digest(github.api, HEAD)
