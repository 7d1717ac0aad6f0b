"""Comments and plans as they come, against a stand-in whose every call and answer GitHub's own description accepts."""

from __future__ import annotations

import io
import json
import re
import zipfile

import pytest

from matrix import select
from matrix.errors import Exit
from matrix.plan import Plan
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from tests.github.acting import workflow
from tests.github.standin import Fault
from tests.utils.conftest import HEAD, TREE, GitHub
from utils.github import artifact, comments, pulls
from utils.github.api import GitHubError
from utils.sweeps import approval, queue, react

RUN = 77
OTHER = "f" * 40


def plan() -> bytes:
    return select.chosen(Tree.of(Folder(ROOT)), ["qwen3moe-tiny-cpu-vllm"]).to_json().encode()


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
    """The queue cannot be read: nobody is told to try again, for then there would be two."""
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


def test_a_plan_becomes_one_comment_that_is_written_anew(github: GitHub) -> None:
    """With the command that starts it; a second plan replaces the text."""
    github.state.artifact(RUN, {"plan.json": plan()})
    assert react.to_plan(github.planned(RUN)) is Exit.OK
    (body,) = github.state.bodies(42)
    assert body.startswith("<!-- servematrix:plan -->\n**6 points in one job would run: 1 server starts")
    assert f"`/sweep run {HEAD}`" in body
    react.to_plan(github.planned(RUN, "failure"))
    assert len(github.state.bodies(42)) == 1
    assert "failed" in github.state.bodies(42)[0]


def test_somebody_elses_mark_is_not_ours(github: GitHub) -> None:
    """A comment that begins with our mark and is not the bot's stays as it is."""
    github.state.comment(42, "reader", f"{comments.mark('plan')}\nmine")
    github.state.artifact(RUN, {"plan.json": plan()})
    react.to_plan(github.planned(RUN))
    assert github.state.comments[42][0]["body"].endswith("mine")
    assert len(github.state.bodies(42)) == 1


def test_a_plan_is_written_only_while_its_commit_is_the_head(github: GitHub) -> None:
    """Two plans at once: the older one finds another head, and writes nothing."""
    github.state.pull(42, OTHER)
    github.state.trees[OTHER] = dict(TREE)
    github.state.artifact(RUN, {"plan.json": plan()})
    assert react.to_plan(github.planned(RUN)) is Exit.OK
    assert github.state.bodies(42) == []


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


def test_a_forks_plan_is_found_by_owner_branch_and_commit(github: GitHub) -> None:
    """The number comes from the API; another owner's branch of the same name is another one."""
    github.state.pull(42, HEAD, owner="fork")
    github.state.artifact(RUN, {"plan.json": plan()})
    react.to_plan(github.planned(RUN, owner="acme"))
    assert github.state.bodies(42) == []
    react.to_plan(github.planned(RUN, owner="fork"))
    assert len(github.state.bodies(42)) == 1


BOMB = io.BytesIO()
with zipfile.ZipFile(BOMB, "w", zipfile.ZIP_DEFLATED) as _archive:
    _archive.writestr("plan.json", b" " * (artifact.MOST_UNPACKED + 1))


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (b"no archive", "no archive that can be read"),
        ({"other.json": b"{}"}, "has no plan.json"),
        ({"../plan.json": plan()}, "has no plan.json"),
        (BOMB.getvalue(), "of more than 8,000,000 bytes"),
        ({"plan.json": b"{}"}, "cannot be read"),
        ({"plan.json": b"[" * 100_000}, "cannot be read"),
        ({"plan.json": plan().replace(b'"points":6', b'"points":"<img src=x> @everyone"')}, "cannot be read"),
    ],
)
def test_an_artifact_is_data(github: GitHub, left: bytes | dict[str, bytes], says: str) -> None:
    """No archive, no file, a path that leads elsewhere, a bomb, no plan: each is said in the comment, and nothing else happens."""
    github.state.artifact(RUN, left)
    assert react.to_plan(github.planned(RUN)) is Exit.OK
    (body,) = github.state.bodies(42)
    assert says in body
    assert "<img" not in body


def test_an_expired_artifact_is_said(github: GitHub) -> None:
    """By its flag, or by a 410 when it expires in between."""
    github.state.artifact(RUN, {"plan.json": plan()}, expired=True)
    react.to_plan(github.planned(RUN))
    assert "not kept any more" in github.state.bodies(42)[0]


def test_texts_of_a_plan_stay_text(github: GitHub) -> None:
    """Markup, mentions, HTML and our own mark in a recipe's name, a reason, a changed line: nothing of it comes alive."""
    evil = b"<!-- servematrix:plan --> @everyone [x](http://e) `y` | z <img src=x onerror=1>"
    content = plan().replace(b'"why":"selected"', b'"why":"' + evil + b'"')
    content = content.replace(b'"lines":[]', b'"lines":["' + evil + b'\\n- [ ] x"]')
    github.state.artifact(RUN, {"plan.json": content})
    react.to_plan(github.planned(RUN))
    (body,) = github.state.bodies(42)
    assert body.count("<!--") == 2, "our own mark, and the one in a block of code"
    outside = "".join(part for number, part in enumerate(body.split("`")) if number % 2 == 0)
    assert "<img" not in outside
    assert "@everyone" not in outside
    assert not re.search(r"(?<!\\)\]\(", outside), "a bracket without a backslash would begin a link"
    assert "\n- [ ]" not in body


def test_limits_and_failures_of_github(github: GitHub) -> None:
    """403 with a time to wait, 500 on what may be sent twice: tried again. A POST without an answer is looked for first."""
    github.state.artifact(RUN, {"plan.json": plan()})
    github.state.faults += [
        Fault("GET", "/pulls", 403, headers={"retry-after": "3"}),
        Fault("GET", "/artifacts", 502),
        Fault("POST", "/comments", 500, done_all_the_same=True),
    ]
    assert react.to_plan(github.planned(RUN)) is Exit.OK
    assert len(github.state.bodies(42)) == 1, "the comment was there though its answer was lost"
    assert 3.0 in github.slept


def test_a_comment_that_is_deleted_in_between_is_made_anew(github: GitHub) -> None:
    """404 to the change of one that was there a moment ago."""
    github.state.artifact(RUN, {"plan.json": plan()})
    react.to_plan(github.planned(RUN))
    github.state.faults.append(Fault("PATCH", "/issues/comments/", 404))
    assert react.to_plan(github.planned(RUN)) is Exit.OK


@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (403, {}, "the job's `permissions:`"),
        (404, {}, "may not see it"),
        (422, {}, "refuses the content"),
        (500, {}, "GitHub itself failed"),
        (403, {"retry-after": "3600"}, "rate limit is reached"),
        (429, {}, "rate limit is reached"),
    ],
)
def test_what_does_not_pass_ends_with_advice_and_without_the_token(
    github: GitHub, status: int, headers: dict[str, str], advice: str
) -> None:
    """One error, with GitHub's status and what to do."""
    github.state.faults.append(Fault("GET", "/pulls/42", status, times=9, headers=headers))
    with pytest.raises(GitHubError, match=str(status)) as caught:
        pulls.get(github.api, 42)
    assert caught.value.exit_code is Exit.GITHUB_FAILED
    assert advice in caught.value.message
    assert "secret-token" not in caught.value.message
    assert sum(github.slept) <= 90


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining": "4900"}])
@pytest.mark.parametrize("times", [1, 9])
def test_a_secondary_limit_is_known_by_its_words(
    github: GitHub, status: int, headers: dict[str, str], times: int
) -> None:
    """No retry-after, and calls left by the headers: waited for at least a minute, also by POST; the advice names the limit."""
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    github.state.faults.append(
        Fault("POST", "/reactions", status, times=times, headers=headers, message=said)
    )
    call = ("POST", "issues/comments/1/reactions", {"content": "+1"})
    if times == 1:
        github.api.call(*call)
        assert github.slept == [60.0]
        return
    with pytest.raises(GitHubError, match="rate limit is reached") as caught:
        github.api.call(*call)
    assert "permissions" not in caught.value.message
    assert 60 <= sum(github.slept) <= 90


@pytest.mark.parametrize(
    ("login", "asked"),
    [
        *((name, True) for name in ("jdoe_acme", "a-b_acme", "-jerry-", "octocat", "renovate[bot]")),
        *((name, False) for name in ("../x", "a/b", "a b", "", "a\n", "x?y", "[bot]", "a" * 200)),
    ],
)
def test_who_is_asked_about(github: GitHub, login: str, *, asked: bool) -> None:
    """Any plain word: managed users have an underscore in their name, old ones begin or end with a hyphen."""
    pulls.may_command(github.api, login)
    assert bool(github.state.calls) is asked


def test_a_comment_larger_than_github_takes_loses_folded_parts() -> None:
    """The first stays; what is left out is told."""
    text = comments.fitted(["first\n", "x" * 70_000, "last\n"])
    assert text.startswith("first\nlast\n")
    assert "1 folded parts are too large" in text
    assert len(text) <= comments.LARGEST


def swept(cluster: str) -> bytes:
    """The plan of a sweep there."""
    found = select.chosen(Tree.of(Folder(ROOT)), ["qwen3moe-tiny-cpu-vllm"])
    jobs = [job.model_copy(update={"cluster": cluster, "walltime_s": 19080}) for job in found.jobs]
    return found.model_copy(update={"jobs": jobs}).to_json().encode()


QUEUE = (("older", "mi300x"), ("elsewhere", "h100"), ("mine", "mi300x"), ("younger", "mi300x"))


@pytest.fixture
def queued(github: GitHub) -> dict[str, int]:
    """Four sweeps at work, each with its plan."""
    runs = {}
    for number, (name, cluster) in enumerate(QUEUE):
        runs[name] = github.state.sweep(50 + number, str(number) * 40, "in_progress")
        github.state.artifact(runs[name], {"plan.json": swept(cluster)}, name=queue.PLAN)
    return runs


def test_one_sweep_a_cluster_at_a_time(github: GitHub, queued: dict[str, int]) -> None:
    """Older ones that share a cluster come first; one that is not planned yet may; younger ones and other clusters do not matter."""
    ahead = queue.Queue(github.api).ahead
    mine = queued["mine"]
    assert ahead(mine, {"mi300x"}) == queue.Ahead(1, 5.3)
    assert ahead(mine, {"mi300x", "h100"}) == queue.Ahead(2, 10.6)
    assert ahead(mine, {"mi355x"}) == queue.Ahead(0, 0.0)
    assert ahead(mine) == queue.Ahead(2, 10.6), "who has no plan yet waits for all"
    assert ahead(mine, {"mi300x"}, over=queued["older"]) == queue.Ahead(0, 0.0)
    github.state.artifacts[queued["elsewhere"]].clear()
    unplanned = queue.Queue(github.api).ahead(mine, {"mi300x"})
    assert unplanned == queue.Ahead(2, 5.3, 1)
    assert str(unplanned) == "2 sweeps are ahead of it, at most 5.3 h, 1 not planned yet"
    assert str(queue.Ahead(1, 0.0, 1)) == "a sweep is ahead of it, 1 not planned yet", (
        "nobody knows for how long"
    )
    github.state.artifact(queued["elsewhere"], b"no archive", name=queue.PLAN)
    assert queue.Queue(github.api).ahead(mine, {"mi300x"}) == queue.Ahead(2, 5.3, 1)


def test_what_others_wrote_stops_no_status(github: GitHub) -> None:
    """GitHub takes no character of four bytes; a failure of its own is tried again, for to set a status twice does no harm."""
    github.state.faults.append(Fault("POST", "/statuses/", 502, times=2))
    pulls.status(
        github.api, HEAD, "c", "error", description="unknown key '\U0001f41bbad'", url="https://e.org/x"
    )
    assert [one["description"] for one in github.state.statuses[HEAD]] == ["unknown key '?bad'"]


def test_a_sweep_waits_for_its_turn(github: GitHub, queued: dict[str, int]) -> None:
    """Each change is told; an answer that GitHub refuses ends no wait."""
    github.state.faults.append(Fault("GET", "/sweep.yml/runs", 403))
    told: list[str] = []

    def sleep(_: float) -> None:
        if len(told) > 1:
            next(one for one in github.state.runs if one["id"] == queued["older"])["status"] = "completed"

    plan = Plan.from_json(json.loads(swept("mi300x")))
    queue.wait(github.api, queued["mine"], plan, told.append, sleep=sleep)
    assert told[0].startswith("what is ahead of it is not known: GitHub says 403")
    assert told[1:] == ["a sweep is ahead of it, at most 5.3 h"]


def test_nobody_waits_longer_than_a_job_may_take(
    github: GitHub, queued: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub ends a job after six hours; the cluster's own lock goes on."""
    assert queue.LONGEST_S < workflow("sweep.yml")["jobs"]["queue"]["timeout-minutes"] * 60 < 6 * 3600
    monkeypatch.setattr(queue, "LONGEST_S", 600.0)
    told: list[str] = []
    slept: list[float] = []
    plan = Plan.from_json(json.loads(swept("mi300x")))
    queue.wait(github.api, queued["mine"], plan, told.append, sleep=slept.append, clock=lambda: sum(slept))
    assert sum(slept) == 600.0
    assert told[-1] == "goes on to the cluster, and waits there"


def test_those_that_wait_are_told_that_one_is_over(github: GitHub, queued: dict[str, int]) -> None:
    """On their commits; those before it, and on other clusters, wait for what they waited for."""
    for number, state in enumerate(("pending", "pending", "pending", "success")):
        sha = str(number) * 40
        pulls.status(github.api, sha, queue.CONTEXT, state, description="before", url="https://e.org/x")
    queue.tell_waiting(github.api, queued["older"])
    words = {sha: [one["description"] for one in known][1:] for sha, known in github.state.statuses.items()}
    assert words == {
        "0" * 40: [],
        "1" * 40: ["nothing is ahead of it"],
        "2" * 40: ["nothing is ahead of it"],
        "3" * 40: [],
    }, "one that has told its end keeps it"


def test_of_two_pull_requests_of_a_branch_each_gets_its_own_plan(github: GitHub) -> None:
    """Both have the same head; the run's name says which it is of, and names none that has another head."""
    github.state.pull(43, HEAD)
    github.state.pull(44, OTHER)
    github.state.artifact(RUN, {"plan.json": plan()})
    react.to_plan(github.planned(RUN, title="plan #43"))
    assert (len(github.state.bodies(42)), len(github.state.bodies(43))) == (0, 1)
    react.to_plan(github.planned(RUN, title="plan #44"))
    react.to_plan(github.planned(RUN, title="plan"))
    assert (len(github.state.bodies(42)), len(github.state.bodies(44))) == (0, 0)
