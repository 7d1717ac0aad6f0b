"""GitHub's REST API, the part that is used here: one session, patient with limits, honest about what failed.

https://docs.github.com/en/rest; on limits: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIES = 4
TIMEOUT_S = 30.0
PATIENCE_S = 90.0
"""The longest that one call waits in all for a limit to pass."""
LIMITS = frozenset({403, 429})
TOO_MANY = 429
NOT_HERE = 300
"""And all up to 399: none of them has what was asked for."""
WORDS = 2000
"""Characters of an answer that is no JSON, in which its reason is looked for."""
SECONDARY_S = 60.0
"""What GitHub asks to wait at the least where it names no time."""
PAGE = 100
MOVED = frozenset({301, 302, 307, 308})
REDIRECTS = 5
SAFE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
"""Methods that may be sent twice: what they ask for is then so, once."""
ADVICE = {
    401: "the token is not accepted any more; run the job again",
    403: "the token may not do this: look at the job's `permissions:`, and at who may approve",
    404: "it is not there, or this token may not see it",
    409: "it changed in between; run the job again",
    422: "GitHub refuses the content",
}


class GitHubError(HarnessError):
    """An answer that is none of those that were hoped for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(Exit.GITHUB_FAILED, message)
        self.status = status


class Found(dict[str, Any]):
    """An object of an answer; asked for a name that it lacks, it says so as GitHub's error and not as Python's."""

    def __missing__(self, name: str) -> object:
        """Raise: it is one of those that GitHub's pages promise."""
        there = ", ".join(sorted(self)[:8]) or "nothing"
        raise GitHubError(
            0, f"GitHub's answer has no {name!r} where one belongs (it has {there}); run the job again"
        )


@dataclass(slots=True)
class Api:
    """Calls on one repository."""

    url: str
    """Of the API, without a slash at the end."""
    repository: str
    """`owner/name`."""
    token: str
    sleep: Any = time.sleep
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        """Our own token, also where a .netrc of the machine has another one for GitHub."""
        self.session.auth = _as_it_is

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:  # noqa: ANN401 - JSON
        """One call below `/repos/OWNER/NAME`, or below the root for a path that begins with a slash.

        Answers of 403 or 429 that name a time are waited for; failures of the server are tried again where that does no harm.

        Raises:
            GitHubError: with the status, GitHub's own words, and what to do.
        """
        answer = self._answered(method, path, body, query)
        return _json(answer) if answer.content else None

    def _answered(
        self,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 - JSON
        query: dict[str, Any],
    ) -> requests.Response:
        address = (
            f"{self.url}{path}" if path.startswith("/") else f"{self.url}/repos/{self.repository}/{path}"
        )
        waited, answer, strange = 0.0, None, ""
        for attempt in range(TRIES):
            try:
                answer = self._followed(method, address, path, body, query)
            except requests.RequestException as error:
                if method not in SAFE or attempt == TRIES - 1:
                    raise _no_answer(method, path, error) from error
                pause = 2.0**attempt
            else:
                well = answer.ok and answer.status_code < NOT_HERE
                strange = _strange(answer, method) if well else ""
                if well and not strange:
                    return answer
                pause = 2.0**attempt if strange and method in SAFE else _pause(answer, method, attempt)
            waited += pause
            if pause <= 0 or waited > PATIENCE_S or attempt == TRIES - 1:
                break
            self.sleep(pause)
        if strange:
            done = (
                ""
                if method in SAFE
                else "; whether it was done is not known: look at GitHub before you run it again"
            )
            raise GitHubError(
                0,
                f"{strange} to {method} {path}: something between here and GitHub answers in its place, such as a proxy that requires a "
                f"login, or GitHub is in trouble (githubstatus.com){done}",
            )
        raise _failure(answer, method, path)

    def _followed(
        self,
        method: str,
        address: str,
        path: str,
        body: Any,  # noqa: ANN401 - JSON
        query: dict[str, Any],
    ) -> requests.Response:
        """One answer. GitHub sends on what was renamed or moved by 301, 302, 307 and 308, and wants the same method and body there.

        Raises:
            GitHubError: for a way that leads to another host, which must not see the token, or round in a circle.
        """
        params: dict[str, Any] | None = query or None
        for _ in range(REDIRECTS):
            answer = self.session.request(
                method,
                address,
                json=body,
                params=params,
                headers=self._headers(),
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
            if answer.status_code not in MOVED or "location" not in answer.headers:
                return answer
            params, last = None, address
            address = urljoin(address, answer.headers["location"])
            if urlsplit(address)[:2] != urlsplit(last)[:2]:
                raise GitHubError(
                    answer.status_code,
                    f"GitHub sends {method} {path} on to {urlsplit(address).netloc}, which is not asked, because it would see the token; check the repository's name",
                )
        raise GitHubError(0, f"GitHub redirects {method} {path} again and again; check the repository's name")

    def pages(self, path: str, key: str = "", **query: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
        """Every item of a list, page by page; `key` names the list inside an answer.

        A page may be short and not the last one: GitHub leaves out of a page what nobody may see. Its `Link` says whether more come.

        Raises:
            GitHubError: as `call`; also for pages that come again, which would never end.
        """
        page, seen = 1, set()
        while True:
            whole = self._answered("GET", path, None, {"per_page": PAGE, "page": page, **query})
            answer = _json(whole)
            items = answer.get(key) if key and isinstance(answer, dict) else answer
            if not isinstance(items, list):
                raise GitHubError(
                    0,
                    f"GitHub's answer to GET {path} holds no list{f' of {key}' if key else ''}; run the job again",
                )
            if items and whole.content in seen:
                raise GitHubError(
                    0,
                    f"GitHub's pages of GET {path} come again and again, and page {page} is one of those before; run the job again",
                )
            seen.add(whole.content)
            yield from items
            if not items or (len(items) < PAGE and "next" not in whole.links):
                return
            page += 1

    def download(self, path: str, most: int) -> bytes:
        """A file that GitHub redirects to, of at most so many bytes; the token stays with GitHub.

        Raises:
            GitHubError: as `call`; also for a file that is larger.
        """
        address = f"{self.url}/repos/{self.repository}/{path}"
        waited, attempt = 0.0, 0
        while True:
            try:
                with self.session.get(
                    address, headers=self._headers(), timeout=TIMEOUT_S, stream=True
                ) as answer:
                    if answer.ok:
                        return _content(answer, path, most)
                    pause, failure = _pause(answer, "GET", attempt), _failure(answer, "GET", path)
            except requests.RequestException as error:
                pause, failure = 2.0**attempt, _no_answer("GET", path, error)
            waited, attempt = waited + pause, attempt + 1
            if pause <= 0 or waited > PATIENCE_S or attempt == TRIES:
                raise failure
            self.sleep(pause)

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "servematrix",
        }


def _content(answer: requests.Response, path: str, most: int) -> bytes:
    content = bytearray()
    for chunk in answer.iter_content(1 << 16):
        content += chunk
        if len(content) > most:
            raise GitHubError(
                0,
                f"{path} has more than {most:,} bytes, so it is not used; select fewer points and run again",
            )
    return bytes(content)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _pause(answer: requests.Response, method: str, attempt: int) -> float:
    """Seconds until another try; 0 where there is no use in one."""
    if answer.status_code in LIMITS:
        if named := _retry_after(answer):
            return named
        if answer.headers.get("x-ratelimit-remaining") == "0":
            reset = answer.headers.get("x-ratelimit-reset", "")
            return max(1.0, float(reset) - time.time()) if reset.isdecimal() else SECONDARY_S
        return SECONDARY_S if _is_limit(answer) else 0.0
    if answer.status_code >= 500 and method in SAFE:  # noqa: PLR2004 - the server's own failures
        return max(2.0**attempt, _retry_after(answer))
    return 0.0


def _retry_after(answer: requests.Response) -> float:
    """Seconds that an answer asks to wait, by their number or by a date; 0 where it does not say."""
    named = answer.headers.get("retry-after", "")
    if named.isdecimal():
        return max(1.0, float(named))
    try:
        return max(1.0, parsedate_to_datetime(named).timestamp() - time.time())
    except ValueError:
        return 0.0


def _json(answer: requests.Response) -> Any:  # noqa: ANN401 - JSON
    return answer.json(object_hook=Found)


def _strange(answer: requests.Response, method: str) -> str:
    """What is wrong with an answer that says it is well: a page for people, half of a text, nothing where something was asked for."""
    if not answer.content:
        return "an empty answer" if method == "GET" else ""
    try:
        answer.json()
    except ValueError:
        kind = answer.headers.get("content-type", "no type").partition(";")[0]
        return f"an answer {answer.status_code} of {kind} that is not JSON"
    return ""


def _said(answer: requests.Response) -> str:
    """GitHub's own words in an answer, if it has any."""
    try:
        return str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        return ""


def _is_limit(answer: requests.Response) -> bool:
    """Whether an answer is about too many calls: by its status, its headers, or by its words alone, which is all that some have."""
    if answer.status_code not in LIMITS:
        return False
    spent = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    words = re.search(
        r"rate limit|abuse detection", _said(answer) or answer.text[:WORDS], re.IGNORECASE
    )  # the latter: older servers of a company; a page for people has words, too
    return answer.status_code == TOO_MANY or spent or words is not None


def _no_answer(method: str, path: str, error: requests.RequestException) -> GitHubError:
    return GitHubError(
        0, f"GitHub does not answer to {method} {path} ({type(error).__name__}); run the job again later"
    )


def _failure(answer: requests.Response | None, method: str, path: str) -> GitHubError:
    if answer is None:
        raise AssertionError
    said = _said(answer)
    advice = ADVICE.get(answer.status_code, "GitHub itself failed; run the job again")
    if _is_limit(answer):
        advice = "GitHub's rate limit is reached; run the job again in some minutes"
    words = f" ({said[:200]})" if said else ""
    return GitHubError(
        answer.status_code, f"GitHub says {answer.status_code}{words} to {method} {path}: {advice}"
    )
