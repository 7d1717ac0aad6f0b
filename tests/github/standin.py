"""A stand-in for GitHub's API: a server with state, faults on request, and every call and answer held against GitHub's description.

It is a FAKE: objects are the description's own examples with what matters changed; permissions of tokens are not played.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.github import description
from tests.github.routes import Routes
from tests.github.state import State


class StandIn:
    """The server; used as a context manager."""

    def __init__(self) -> None:
        self.state = State()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def do(self) -> None:
            state = stand_in.state
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, query = (
                urlsplit(self.path).path,
                {n: v[0] for n, v in parse_qs(urlsplit(self.path).query).items()},
            )
            if path.startswith(
                "/blob/"
            ):  # where GitHub keeps archives: another host, which must not see a token
                if self.headers.get("authorization"):
                    state.problems.append("the token was sent to where archives are kept")
                self.send(200, state.archives[int(path.split("/")[2])], {})
                return
            state.calls.append(f"{self.command} {path}")
            fault = next(
                (
                    one
                    for one in state.faults
                    if one.times and one.method == self.command and re.search(one.path, path)
                ),
                None,
            )
            if fault:
                fault.times -= 1
                if fault.done_all_the_same:
                    self.real(path, query, content)
                self.send(fault.status, json.dumps({"message": fault.message}).encode(), fault.headers)
                return
            status, body, headers = self.real(path, query, content)
            wrong = description.check(
                description.Call(self.command, self.path, content), description.Answer(status, body)
            )
            if wrong:
                state.problems.append(wrong)
            self.send(status, body, headers)

        def real(self, path: str, query: dict[str, str], content: bytes) -> tuple[int, bytes, dict[str, str]]:
            routes = Routes(stand_in.state, stand_in.url)
            reply = routes.answer(self.command, path, query, json.loads(content) if content else None)
            if isinstance(reply, bytes):
                number = path.split("/")[-2]
                other = stand_in.url.replace("127.0.0.1", "localhost")
                return 302, b"", {"location": f"{other}/blob/{number}"}
            status, body = reply
            return status, b"" if body is None else json.dumps(body).encode(), {}

        def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do  # noqa: N815 - names of http.server

    return Handler
