"""What the stand-in for GitHub knows: pull requests, comments, commits, runs, and faults on request."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any

from tests.github import description
from utils.github.comments import BOT

REPOSITORY = "acme/bench"


@dataclass
class Fault:
    """An answer instead of the real one, a few times."""

    method: str
    path: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "on purpose"
    done_all_the_same: bool = False
    """The call is taken, and only its answer is lost."""


@dataclass
class State:
    """What GitHub would know."""

    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    """Commit -> path -> object."""
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    """Commit -> how its checks ended."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    archives: dict[int, bytes] = field(default_factory=dict)
    dispatched: list[dict[str, Any]] = field(default_factory=list)
    reactions: list[tuple[int, str]] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    """Pull requests that were made."""
    cancelled: list[int] = field(default_factory=list)
    rerun: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What GitHub's description has against a call or an answer."""
    owner: str = "Organization"
    """`User` where the repository is a person's."""
    settings: str = "good"
    """`good`, or everything as it should not be."""
    number: int = 1000
    remote: str = ""
    """A repository on disk, for commits whose tree is asked for."""

    def next(self) -> int:
        """A number that nothing has."""
        self.number += 1
        return self.number

    def pull(
        self, number: int, head: str, *, branch: str = "change", state: str = "open", owner: str = "acme"
    ) -> None:
        """A pull request whose head is a commit."""
        one = description.example("pull-request")
        one |= {"number": number, "state": state, "requested_teams": []}  # the example's teams lack a type
        one["head"] |= {"sha": head, "ref": branch}
        one["head"]["repo"]["full_name"] = f"{owner}/bench"
        one["base"] |= {"sha": "b" * 40, "ref": "main"}
        self.pulls[number] = one
        self.comments.setdefault(number, [])

    def comment(self, pull: int, user: str, body: str) -> int:
        """Somebody says something."""
        one = description.example("issue-comment")
        one |= {"id": self.next(), "body": body}
        one["user"] |= {"login": user, "type": "Bot" if user.endswith("[bot]") else "User"}
        self.comments[pull].append(one)
        return int(one["id"])

    def sweep(self, pull: int, sha: str, status: str, conclusion: str | None = None) -> int:
        """A run of the workflow `sweep`, the newest."""
        one = description.example("workflow-run-paginated")["workflow_runs"][0]
        one |= {
            "id": self.next(),
            "display_title": f"sweep #{pull} {sha}",
            "status": status,
            "conclusion": conclusion,
            "event": "workflow_dispatch",
            "head_branch": "main",
            "path": ".github/workflows/sweep.yml",
        }
        one["head_repository"]["full_name"] = REPOSITORY
        self.runs.insert(0, one)
        return int(one["id"])

    def artifact(
        self, run: int, files: dict[str, bytes] | bytes, *, name: str = "plan", expired: bool = False
    ) -> None:
        """What a run left."""
        one = description.example("artifact-paginated")["artifacts"][0]
        one |= {"id": self.next(), "name": name, "expired": expired}
        self.artifacts.setdefault(run, []).append(one)
        packed = io.BytesIO()
        if isinstance(files, bytes):
            packed.write(files)
        else:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, content in files.items():
                    archive.writestr(path, content)
        self.archives[one["id"]] = packed.getvalue()

    def bodies(self, pull: int) -> list[str]:
        """What our bot said there."""
        return [one["body"] for one in self.comments[pull] if one["user"]["login"] == BOT]
