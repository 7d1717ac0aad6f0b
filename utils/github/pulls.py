"""A pull request as GitHub's API tells it, who may command it, and the statuses of its commits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.github.api import GitHubError
from utils.github.comments import BOT, NOT_FOUND, SERVER_ERROR

if TYPE_CHECKING:
    from utils.github.api import Api

TRIES = 3
LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}(?:\[bot\])?")
"""What is asked about at GitHub: whatever is one plain word. Managed users have an underscore, old logins begin or end with a hyphen."""
MAY_COMMAND = frozenset({"admin", "write"})


@dataclass(frozen=True, slots=True)
class Pull:
    """What matters of one."""

    number: int
    head: str
    """40 hex."""
    branch: str
    head_repository: str
    """`owner/name`; empty where the fork is gone."""
    base: str
    """40 hex of the branch that it goes into, as it was when the pull request was last changed."""
    is_open: bool

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Pull:
        """From an answer of the API."""
        head, base = answer["head"], answer["base"]
        return cls(
            number=int(answer["number"]),
            head=head["sha"],
            branch=head["ref"],
            head_repository=(head.get("repo") or {}).get("full_name", ""),
            base=base["sha"],
            is_open=answer["state"] == "open",
        )


def get(api: Api, number: int) -> Pull:
    """One by its number."""
    return Pull.of(api.call("GET", f"pulls/{number}"))


def at_commit(api: Api, owner: str, branch: str, sha: str) -> list[Pull]:
    """Pull requests, also closed ones, of a branch whose head is that commit; the number of one never comes from an artifact."""
    found = api.pages("pulls", state="all", head=f"{owner}:{branch}")
    return [pull for one in found if (pull := Pull.of(one)).head == sha]


def may_command(api: Api, user: str) -> bool:
    """Whether a person has write access, by GitHub's word and not the event's."""
    if not LOGIN.fullmatch(user):
        return False
    try:
        answer = api.call("GET", f"collaborators/{user}/permission")
    except GitHubError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return answer["permission"] in MAY_COMMAND


def newest(api: Api, sha: str, context: str) -> dict[str, Any] | None:
    """Our own newest status of a context."""
    for one in api.pages(f"commits/{sha}/statuses"):
        if one["context"] == context and (one.get("creator") or {}).get("login") == BOT:
            found: dict[str, Any] = one
            return found
    return None


def passed(api: Api, sha: str, check: str) -> bool:
    """Whether a check went well on a commit, by the newest run of each workflow that has it."""
    answer = api.call("GET", f"commits/{sha}/check-runs", check_name=check, filter="latest")
    found = [one["conclusion"] for one in answer["check_runs"]]
    return bool(found) and set(found) == {"success"}


def status(api: Api, sha: str, context: str, state: str, *, description: str, url: str) -> None:
    """Set a status; GitHub takes 140 characters of description, each of at most three bytes. To set it twice does no harm."""
    said = re.sub(r"[^\u0000-\uffff]", "?", description)[:140]
    body = {"state": state, "context": context, "description": said, "target_url": url}
    for attempt in range(TRIES):
        try:
            api.call("POST", f"statuses/{sha}", body)
        except GitHubError as error:
            if attempt == TRIES - 1 or 0 < error.status < SERVER_ERROR:
                raise
        else:
            return
