"""What a commit is approved for: its tree, without perf-changelog.yaml."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.github import pulls
from utils.results.changelog import entries as changelog

if TYPE_CHECKING:
    from utils.github.api import Api

APPROVED = "servematrix/approved"
"""Context of the status that a person's `/sweep run` sets on a commit."""


def tree_digest(api: Api, sha: str) -> str:
    """Hash of a commit's tree without perf-changelog.yaml: what an approval is for."""
    answer = api.call("GET", f"git/trees/{sha}")
    if answer.get("truncated"):
        raise HarnessError(
            Exit.REFUSED,
            f"GitHub does not list all files at the top of {sha[:10]}, so nobody can approve them; put them into folders",
        )
    lines = sorted(
        f"{one['mode']} {one['sha']} {one['path']}" for one in answer["tree"] if one["path"] != changelog.FILE
    )
    whole = "\0".join(lines)  # a name may have a line's end, and no NUL
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def approve(api: Api, sha: str, user: str, url: str) -> None:
    """Say on the commit that a person wants it measured."""
    description = f"{user}: tree {tree_digest(api, sha)}"
    pulls.status(api, sha, APPROVED, "success", description=description, url=url)


def is_approved(api: Api, sha: str) -> bool:
    """Whether our own status says so for the tree that the commit has."""
    wanted = f"tree {tree_digest(api, sha)}"
    one = pulls.newest(api, sha, APPROVED)
    return bool(one and one["state"] == "success" and (one.get("description") or "").endswith(wanted))
