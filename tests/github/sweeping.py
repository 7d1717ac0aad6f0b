"""A pull request that is slower, and comments on it, for the tests of sweeps here."""

from __future__ import annotations

from typing import Any

from tests.conftest import RECIPE, write
from tests.github.acting import Acted, Acting
from tests.github.state import REPOSITORY

SLOW = '  env: {FAKE_VLLM: "slow"}'


STUB = """\
r:
- pr: 42
  title: A slower thing
  why: [to see that it is found]
  expect: {32x16-tp1-c1: {tpot: "<= 0%"}}
"""


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


def ended(*names: str, **outputs: str) -> dict[str, Any]:
    """Jobs that went well in an earlier attempt: GitHub runs them not again, and keeps their outputs."""
    job = {"runs-on": "ubuntu-24.04", "outputs": outputs, "steps": [{"run": "true"}]}
    return dict.fromkeys(names, job)


SKIPPED = {"confirm": {**ended("confirm")["confirm"], "if": "false"}}
"""Act works out the matrix of a job that it will skip, and fails where there is none yet."""
