"""Answers that are no refusal and no result: sent on, a page for people in the place of JSON, half of a text."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils.github.api import Api, GitHubError

Answer = tuple[int, dict[str, str], bytes]
GOOD: Answer = (200, {"content-type": "application/json"}, b'{"ok": true}')
PAGE: Answer = (200, {"content-type": "text/html; charset=utf-8"}, b"<html>Sign in to the proxy</html>")


class Odd:
    """A server that gives its answers in turn, the last one for ever, and notes what came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[tuple[str, str, bytes, str]] = []
        self.slept: list[float] = []
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                odd.seen.append((self.command, self.path, body, self.headers.get("authorization", "")))
                status, headers, content = odd.answers.pop(0) if len(odd.answers) > 1 else odd.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-length" not in headers:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815 - the names of the base class

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def api(self) -> Api:
        """A client whose waiting is noted, and takes no time."""
        return Api(self.url, "acme/bench", "secret-token", sleep=self.slept.append)


@pytest.fixture
def odd() -> Iterator[Odd]:
    """One server a test."""
    made = Odd()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_what_was_moved_is_asked_again_there(odd: Odd, status: int, method: str) -> None:
    """The same method and body, as GitHub wants it: a repository that was renamed still gets its comments."""
    odd.answers = [(status, {"location": "/repositories/7/x?page=2"}, b'{"message": "Moved"}'), GOOD]
    body = None if method == "GET" else {"body": "hi"}
    assert odd.api.call(method, "x", body) == {"ok": True}
    assert [(one[0], one[1]) for one in odd.seen] == [
        (method, "/repos/acme/bench/x"),
        (method, "/repositories/7/x?page=2"),
    ]
    assert odd.seen[0][2] == odd.seen[1][2] == (b"" if body is None else json.dumps(body).encode())
    assert odd.seen[1][3] == "Bearer secret-token"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_token_goes_to_no_other_host(odd: Odd, method: str) -> None:
    """The error names the host, and nothing was sent there."""
    odd.answers = [(307, {"location": "http://evil.example/x"}, b"")]
    with pytest.raises(GitHubError, match=r"on to evil\.example, which is not asked"):
        odd.api.call(method, "x", {})


def test_a_circle_ends(odd: Odd) -> None:
    """After some steps, in a sentence."""
    odd.answers = [(301, {"location": "/repos/acme/bench/x"}, b"")]
    with pytest.raises(GitHubError, match="again and again"):
        odd.api.call("GET", "x")
    assert len(odd.seen) == 5


@pytest.mark.parametrize(
    "answer",
    [PAGE, (200, {}, b'{"half":'), (200, {}, b""), (202, {}, b""), (200, {"content-length": "9999"}, b"{}")],
    ids=["page", "half", "nothing", "later", "broken off"],
)
def test_a_page_in_the_place_of_json_is_asked_again(odd: Odd, answer: Answer) -> None:
    """Where that does no harm."""
    odd.answers = [answer, GOOD]
    assert odd.api.call("GET", "x") == {"ok": True}
    assert odd.slept == [1.0]


def test_a_page_for_ever_is_told(odd: Odd) -> None:
    """What came, and who may have sent it; no traceback, and no token."""
    odd.answers = [PAGE]
    with pytest.raises(GitHubError, match=r"200 of text/html that is not JSON to GET x: .*proxy") as caught:
        odd.api.call("GET", "x")
    assert "secret-token" not in caught.value.message
    assert sum(odd.slept) <= 90


def test_what_a_page_answers_to_a_post_is_not_sent_twice(odd: Odd) -> None:
    """It may have been done."""
    odd.answers = [PAGE]
    with pytest.raises(GitHubError, match="whether it was done is not known"):
        odd.api.call("POST", "x", {})
    assert len(odd.seen) == 1


def test_an_empty_answer_is_one_where_nothing_was_asked_for(odd: Odd) -> None:
    """204 of a deletion, or of a dispatch."""
    odd.answers = [(204, {}, b"")]
    assert odd.api.call("DELETE", "x") is None
    assert odd.api.call("POST", "dispatches", {}) is None


def test_a_list_that_is_none_is_told(odd: Odd) -> None:
    """An object with other keys, as an older server of a company may send."""
    odd.answers = [GOOD]
    with pytest.raises(GitHubError, match="holds no list of artifacts"):
        list(odd.api.pages("x", "artifacts"))


def test_an_older_servers_word_for_a_limit(odd: Odd) -> None:
    """It is waited for, and is no question of rights."""
    said = b'{"message": "You have triggered an abuse detection mechanism. Please retry later."}'
    odd.answers = [(403, {}, said), GOOD]
    assert odd.api.call("POST", "x", {}) == {"ok": True}
    assert odd.slept == [60.0]


def test_a_netrc_does_not_take_the_tokens_place(
    odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner's machine may have one for GitHub, of another person."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    odd.answers = [GOOD]
    odd.api.call("GET", "x")
    assert odd.seen[0][3] == "Bearer secret-token"


BUSY: Answer = (403, {}, b'{"message": "You have exceeded a secondary rate limit."}')


@pytest.mark.parametrize(
    "answer",
    [
        (502, {}, b"<html>Bad gateway</html>"),
        BUSY,
        (429, {"retry-after": "3"}, b""),
        (200, {"content-length": "9999"}, b"P"),
    ],
)
def test_a_file_is_asked_for_again_as_everything_else(odd: Odd, answer: Answer) -> None:
    """An artifact of a job of hours is not lost for one answer."""
    odd.answers = [answer, (200, {}, b"PK")]
    assert odd.api.download("actions/artifacts/1/zip", 10) == b"PK"
    assert odd.slept in ([1.0], [60.0], [3.0])


def test_a_file_that_is_not_there_is_not_asked_for_again(odd: Odd) -> None:
    """Nor for ever where GitHub stays busy."""
    odd.answers = [(404, {}, b'{"message": "Not Found"}')]
    with pytest.raises(GitHubError, match="says 404"):
        odd.api.download("x", 10)
    assert odd.slept == []
    odd.answers = [BUSY]
    with pytest.raises(GitHubError, match="rate limit is reached"):
        odd.api.download("x", 10)
    assert sum(odd.slept) <= 90


@pytest.mark.parametrize("status", [300, 301, 303, 304])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_way_that_leads_nowhere_is_a_failure(odd: Odd, status: int, method: str) -> None:
    """No result that is nothing."""
    odd.answers = [(status, {}, b"")]
    with pytest.raises(GitHubError, match=f"says {status}"):
        odd.api.call(method, "x")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_date_says_how_long_to_wait(odd: Odd, status: int) -> None:
    """Retry-After is a number or a date; one that is past is a moment."""
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=40), usegmt=True)
    odd.answers = [(status, {"retry-after": then}, b""), (status, {"retry-after": past}, b""), GOOD]
    assert odd.api.call("GET", "x") == {"ok": True}
    assert 35 < odd.slept[0] <= 40
    assert odd.slept[1] <= 2


def test_a_failing_server_says_how_long_to_wait(odd: Odd) -> None:
    """Longer than the usual second; what cannot be read is as if nothing were said."""
    odd.answers = [(503, {"retry-after": "20"}, b""), (502, {"retry-after": "soon"}, b""), GOOD]
    assert odd.api.call("GET", "x") == {"ok": True}
    assert odd.slept == [20.0, 2.0]


def test_a_page_for_people_may_be_about_a_limit(odd: Odd) -> None:
    """It is waited for, and is no question of rights."""
    said = b"<html><p>You have exceeded a secondary rate limit.</p></html>"
    odd.answers = [(403, {"content-type": "text/html"}, said), GOOD]
    assert odd.api.call("POST", "x", {}) == {"ok": True}
    assert odd.slept == [60.0]


def _items(first: int, count: int, link: str = "") -> Answer:
    content = json.dumps([{"id": number} for number in range(first, first + count)]).encode()
    return (200, {"link": link} if link else {}, content)


def test_a_short_page_is_the_last_one_only_if_no_other_follows(odd: Odd) -> None:
    """GitHub leaves out of a page what nobody may see, such as comments of an account that it hides."""
    more = '<http://github.example/x?page=2>; rel="next", <http://github.example/x?page=2>; rel="last"'
    odd.answers = [_items(0, 99, more), _items(99, 3, '<http://github.example/x?page=1>; rel="prev"')]
    assert len(list(odd.api.pages("x"))) == 102
    assert [one[1].partition("?")[2] for one in odd.seen] == ["per_page=100&page=1", "per_page=100&page=2"]


@pytest.mark.parametrize("link", ["", '<http://github.example/x?page=1>; rel="next"'])
def test_pages_that_come_again_end(odd: Odd, link: str) -> None:
    """As something between here and GitHub sends them that leaves out the page's number."""
    odd.answers = [_items(0, 100, link), _items(100, 100, link), _items(0, 100, link)]
    with pytest.raises(GitHubError, match="page 3 is one of those before"):
        list(odd.api.pages("x"))


def test_an_answer_without_what_it_should_have_is_githubs_error(odd: Odd) -> None:
    """Also inside of a list: a proxy, or a GitHub of a company that is older, answers with another shape."""
    odd.answers = [(200, {"content-type": "application/json"}, b'{"user": {"id": 1}}')]
    with pytest.raises(GitHubError, match=r"no 'permission' where one belongs \(it has user\)"):
        odd.api.call("GET", "collaborators/ann/permission")["permission"]
    odd.answers = [(200, {"content-type": "application/json"}, b'[{"name": "x"}]')]
    with pytest.raises(GitHubError, match=r"no 'id'"):
        next(odd.api.pages("actions/runs"))["id"]
