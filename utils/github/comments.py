"""Our comments on a pull request: one of each kind, found again by a mark, written anew in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from utils.github.api import GitHubError

if TYPE_CHECKING:
    from utils.github.api import Api

CommentKind = Literal["plan", "report"]
LARGEST = 60_000
"""Characters; GitHub takes 65,536."""
BOT = "github-actions[bot]"
NOT_FOUND, SERVER_ERROR = 404, 500


def mark(kind: CommentKind) -> str:
    """The first line of a comment of ours; nobody sees it, and text of others cannot make one, for `<` is escaped in it."""
    return f"<!-- servematrix:{kind} -->"


def fitted(parts: list[str], link: str = "") -> str:
    """As many parts as GitHub takes, in order; a table that is too long loses its last rows, with their count and where all of them are.

    Args:
        parts: the first is visible, the others folded.
        link: of the run, whose summary and files have everything.
    """
    where = f"[all of them]({link})" if link else "the run's summary has them"
    text = ""
    left_out = 0
    for part in parts:
        room = LARGEST - len(text) - _REST
        fits = part if len(part) <= room else _cut(part, room, where)
        text += fits
        left_out += not fits
    if left_out:
        text += f"\n{left_out} folded parts are too large for a comment; {where}.\n"
    return text


_REST = 400
"""Characters that are kept free for what is said of parts that are left out."""
_HEAD = 2
"""Lines of a table that are no rows."""


def _cut(part: str, room: int, where: str) -> str:
    """A part without the last rows of its longest table; empty where that is not enough."""
    lines = part.splitlines(keepends=True)
    tables: list[list[int]] = []
    for number, line in enumerate(lines):
        if line.startswith("|"):
            if tables and tables[-1][-1] == number - 1:
                tables[-1].append(number)
            else:
                tables.append([number])
    rows = max(tables, key=len, default=[])[_HEAD:]
    over, gone = len(part) + len(where) + 60 - room, 0
    while rows and over > 0:
        over -= len(lines[rows.pop()])
        gone += 1
    if over > 0 or not rows:
        return ""
    last = rows[-1]
    return "".join([*lines[: last + 1], f"\nand {gone} more rows: {where}\n", *lines[last + 1 + gone :]])


def find(api: Api, pull: int, kind: CommentKind) -> dict[str, Any] | None:
    """Our newest comment of a kind. A mark in somebody else's comment means nothing."""
    ours = [
        comment
        for comment in api.pages(f"issues/{pull}/comments")
        if (comment.get("user") or {}).get("login") == BOT
        and (comment.get("body") or "").startswith(mark(kind))
    ]
    return ours[-1] if ours else None


def upsert(api: Api, pull: int, kind: CommentKind, parts: list[str], link: str = "") -> str:
    """Write the comment; its address. `link` is where everything is, if it does not fit.

    A comment that is deleted in between is made anew. A POST that was not answered may have been taken all the same: then
    the comment is looked for before it is sent again.
    """
    body = f"{mark(kind)}\n{fitted(parts, link)}"
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
