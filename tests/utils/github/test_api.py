"""GitHub's refusals, limits and failures: what is tried again, and what to do about the rest."""

from __future__ import annotations

import pytest

from matrix.errors import Exit
from tests.github.state import Fault
from tests.utils.conftest import GitHub
from utils.github import pulls
from utils.github.api import GitHubError


@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (403, {}, "the job's `permissions:`"),
        (404, {}, "may not see it"),
        (422, {}, "refuses the content"),
        (500, {}, "GitHub itself failed"),
        (403, {"retry-after": "3600"}, "rate limit is reached"),
        (429, {}, "rate limit is reached"),
    ],
)
def test_what_does_not_pass_ends_with_advice_and_without_the_token(
    github: GitHub, status: int, headers: dict[str, str], advice: str
) -> None:
    """One error, with GitHub's status and what to do."""
    github.state.faults.append(Fault("GET", "/pulls/42", status, times=9, headers=headers))
    with pytest.raises(GitHubError, match=str(status)) as caught:
        pulls.get(github.api, 42)
    assert caught.value.exit_code is Exit.GITHUB_FAILED
    assert advice in caught.value.message
    assert "secret-token" not in caught.value.message
    assert sum(github.slept) <= 90


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining": "4900"}])
@pytest.mark.parametrize("times", [1, 9])
def test_a_secondary_limit_is_known_by_its_words(
    github: GitHub, status: int, headers: dict[str, str], times: int
) -> None:
    """No retry-after, and calls left by the headers: waited for at least a minute, also by POST; the advice names the limit."""
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    github.state.faults.append(
        Fault("POST", "/reactions", status, times=times, headers=headers, message=said)
    )
    call = ("POST", "issues/comments/1/reactions", {"content": "+1"})
    if times == 1:
        github.api.call(*call)
        assert github.slept == [60.0]
        return
    with pytest.raises(GitHubError, match="rate limit is reached") as caught:
        github.api.call(*call)
    assert "permissions" not in caught.value.message
    assert 60 <= sum(github.slept) <= 90
