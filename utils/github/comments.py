"""Our comments on a pull request: one of each kind, found again by a mark, written anew in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from utils.github.api import GitHubError

if TYPE_CHECKING:
    from utils.github.api import Api

CommentKind = Literal["plan", "report"]
LARGEST = 65_000
"""Characters; GitHub takes 65,536."""
BOT = "github-actions[bot]"
NOT_FOUND, SERVER_ERROR = 404, 500


def mark(kind: CommentKind) -> str:
    """The first line of a comment of ours; nobody sees it, and text of others cannot make one, for `<` is escaped in it."""
    return f"<!-- servematrix:{kind} -->"


def fitted(parts: list[str]) -> str:
    """As many parts as GitHub takes, in order; what is left out is told."""
    text = ""
    left_out = 0
    for part in parts:
        if len(text) + len(part) + 200 <= LARGEST:
            text += part
        else:
            left_out += 1
    if left_out:
        text += f"\n{left_out} folded parts are too large for a comment; the run's summary has them.\n"
    return text


def find(api: Api, pull: int, kind: CommentKind) -> dict[str, Any] | None:
    """Our newest comment of a kind. A mark in somebody else's comment means nothing."""
    ours = [
        comment
        for comment in api.pages(f"issues/{pull}/comments")
        if (comment.get("user") or {}).get("login") == BOT
        and (comment.get("body") or "").startswith(mark(kind))
    ]
    return ours[-1] if ours else None


def upsert(api: Api, pull: int, kind: CommentKind, parts: list[str]) -> str:
    """Write the comment; its address.

    A comment that is deleted in between is made anew. A POST that was not answered may have been taken all the same: then
    the comment is looked for before it is sent again.
    """
    body = f"{mark(kind)}\n{fitted(parts)}"
    for _ in range(3):
        known = find(api, pull, kind)
        try:
            if known:
                answer = api.call("PATCH", f"issues/comments/{known['id']}", {"body": body})
            else:
                answer = api.call("POST", f"issues/{pull}/comments", {"body": body})
        except GitHubError as error:
            if not (error.status == NOT_FOUND and known) and 0 < error.status < SERVER_ERROR:
                raise
            failure = error
            continue
        return str(answer["html_url"])
    raise failure
