"""A stand-in for GitHub, and events as Actions would hand them on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.github.standin import StandIn
from tests.github.state import REPOSITORY, State
from utils.github.api import Api
from utils.github.trigger import Event

HEAD = "1a2b3c4d5e" * 4
TREE = {"recipes": "a" * 40, "kernels": "b" * 40, "perf-changelog.yaml": "c" * 40}


class GitHub:
    """The stand-in with one open pull request 42 whose head is `HEAD`, and people `writer` and `reader`."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.slept: list[float] = []
        self.state.pull(42, HEAD)
        self.state.trees[HEAD] = dict(TREE)
        self.state.permissions |= {"writer": "write", "boss": "admin", "reader": "read"}

    @property
    def state(self) -> State:
        """What it knows."""
        return self.stand_in.state

    @property
    def api(self) -> Api:
        """A client whose waiting is noted, and takes no time."""
        return Api(self.stand_in.url, REPOSITORY, "secret-token", sleep=self.slept.append)

    def event(self, name: str, **payload: Any) -> Event:
        """What a job is started by."""
        return Event(name, payload, REPOSITORY, "https://github.com", "7", self.api)

    def comment(self, body: str, user: str = "writer", pull: int = 42) -> Event:
        """Somebody's comment, and its event."""
        number = self.state.comment(pull, user, body)
        issue = {"number": pull, "pull_request": {"url": "x"}}
        return self.event(
            "issue_comment",
            action="created",
            issue=issue,
            comment={"id": number, "body": body, "user": {"login": user}},
        )

    def planned(
        self,
        run: int,
        conclusion: str = "success",
        sha: str = HEAD,
        owner: str = "acme",
        title: str = "plan #42",
    ) -> Event:
        """The workflow `plan` has ended."""
        about = {
            "id": run,
            "event": "pull_request",
            "display_title": title,
            "conclusion": conclusion,
            "head_sha": sha,
            "head_branch": "change",
            "head_repository": {"owner": {"login": owner}},
            "html_url": "https://github.com/acme/bench/actions/runs/1",
        }
        return self.event("workflow_run", action="completed", workflow_run=about)


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Afterwards every call and every answer must have been as GitHub describes them."""
    with StandIn() as stand_in:
        yield GitHub(stand_in)
    assert stand_in.state.problems == []
