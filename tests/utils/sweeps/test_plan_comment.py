"""A plan becomes one comment: whose it is, what it is written from, and texts that stay text."""

from __future__ import annotations

import io
import json
import re
import zipfile

import pytest

from matrix.errors import Exit
from tests.github.state import Fault
from tests.utils.conftest import HEAD, TREE, GitHub
from tests.utils.sweeps.made import OTHER, RUN, plan
from utils.github import artifact, comments
from utils.sweeps import react


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


def test_memory_is_said_in_the_comment(github: GitHub) -> None:
    """The first layouts of it."""
    line = "tp8: weights take 99.2 of 192 GiB a GPU (experts in BF16 96.2, rest 3.0)"
    told = json.loads(plan()) | {"memory": [line, "  left for KV: 1", *(f"other {n}" for n in range(9))]}
    github.state.artifact(RUN, {"plan.json": json.dumps(told).encode()})
    react.to_plan(github.planned(RUN))
    (text,) = github.state.bodies(42)
    assert f"- {line}; left for KV: 1\n- other 0\n- other 1\n" in text
    assert "other 2" not in text
