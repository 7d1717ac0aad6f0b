"""One paired sweep a cluster at a time: whoever was dispatched first. What waits says so, and for how long, on its commit."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.github import pulls, sweeps
from utils.github.api import GitHubError
from utils.github.comments import BOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from utils.github.api import Api

CONTEXT = "servematrix/sweep"
POLL_S = 60.0
_SAID = re.compile(r"(\S+): .*\((\d+\.\d\d) h\)")


def description(cluster: str, text: str, hours: float) -> str:
    """A status from which others see where a sweep runs and how long it may take."""
    return f"{cluster}: {text} ({hours:.2f} h)"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What comes before."""

    sweeps: int
    hours: float


def ahead(api: Api, run: int, cluster: str) -> Ahead:
    """Sweeps that were dispatched before this run, are not over, and are of this cluster or not planned yet; what they may take in all."""
    older = [_said(api, sweep.sha) for sweep in sweeps.alive(api) if sweep.run < run]
    hours = [said[1] if said else 0.0 for said in older if said is None or said[0] == cluster]
    return Ahead(len(hours), sum(hours))


def _said(api: Api, sha: str) -> tuple[str, float] | None:
    """Cluster and hours of a sweep, by our own newest status on its commit; None while it is not planned yet."""
    for one in api.pages(f"commits/{sha}/statuses"):
        if one["context"] == CONTEXT and (one.get("creator") or {}).get("login") == BOT:
            match = _SAID.fullmatch(one.get("description") or "")
            return (match[1], float(match[2])) if match else None
    return None


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who waits."""

    run: int
    sha: str
    cluster: str
    hours: float
    url: str


def _patiently(api: Api, ticket: Ticket) -> Ahead:
    """An hour's trouble of GitHub does not end a day's wait: without an answer somebody may be ahead."""
    try:
        return ahead(api, ticket.run, ticket.cluster)
    except GitHubError:
        return Ahead(1, 0.0)


def wait(
    api: Api, ticket: Ticket, tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return when it is this sweep's turn; each change of the queue is told, and stands on the commit."""
    before = None
    while (now := _patiently(api, ticket)).sweeps:
        if now != before:
            text = f"waits for {now.sweeps} sweeps, at most {now.hours:.1f} h"
            tell(text)
            said = description(ticket.cluster, text, ticket.hours)
            pulls.status(api, ticket.sha, CONTEXT, "pending", description=said, url=ticket.url)
            before = now
        sleep(POLL_S)
    if before is not None:
        said = description(ticket.cluster, "is being measured", ticket.hours)
        pulls.status(api, ticket.sha, CONTEXT, "pending", description=said, url=ticket.url)
