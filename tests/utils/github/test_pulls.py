"""Who may start a sweep, and what is written on a commit."""

from __future__ import annotations

import pytest

from tests.github.state import Fault
from tests.utils.conftest import HEAD, GitHub
from utils.github import pulls


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


def test_what_others_wrote_stops_no_status(github: GitHub) -> None:
    """GitHub takes no character of four bytes; a failure of its own is tried again, for to set a status twice does no harm."""
    github.state.faults.append(Fault("POST", "/statuses/", 502, times=2))
    pulls.status(
        github.api, HEAD, "c", "error", description="unknown key '\U0001f41bbad'", url="https://e.org/x"
    )
    assert [one["description"] for one in github.state.statuses[HEAD]] == ["unknown key '?bad'"]
