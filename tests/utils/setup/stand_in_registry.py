"""A STAND-IN for a container registry, for its refusals only; that the protocol is right is tested with the real one of Debian."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

DIGEST = f"sha256:{'d1' * 32}"
TOKEN = "for-anybody"  # noqa: S105 - a stand-in's
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class StandIn:
    """Answers as it is told; counts what was asked."""

    answer: Answer = (200, {"Docker-Content-Digest": DIGEST}, b"")
    challenge: str = ""
    """WWW-Authenticate of a request without a token; `{host}` is this server."""
    token: Answer = (200, {}, json.dumps({"token": TOKEN}).encode())
    no_head: bool = False
    asked: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    host: str = ""

    def __enter__(self) -> Self:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.reply()

            def do_GET(self) -> None:
                self.reply()

            def reply(self) -> None:
                stand_in.asked.append(f"{self.command} {self.path}")
                stand_in.accepted.append(self.headers.get("Accept", ""))
                status, headers, body = stand_in.to(self)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def to(self, request: BaseHTTPRequestHandler) -> Answer:
        """The answer to one request."""
        if request.path.startswith("/token"):
            return self.token
        if self.no_head and request.command == "HEAD":
            return 405, {}, b""
        if self.challenge and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"WWW-Authenticate": self.challenge.replace("{host}", self.host)}, b""
        return self.answer
