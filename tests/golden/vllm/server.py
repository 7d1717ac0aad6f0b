"""A server that the real `vllm bench serve` was run against for the results beside this file; README.md says how.

It answers /v1/completions and /v1/chat/completions as a stream, a token every few milliseconds, and everything else with an
empty text. What a client asked for is written to a file: one JSON line a request, with its path and body.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN_S = 0.004


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Whatever is asked for: an empty text, or the list of models."""
        self._note(None)
        body = b'{"data": [{"id": "model"}]}' if self.path.startswith("/v1/models") else b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """A completion, as a stream."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        self._note(body)
        chat = "chat" in self.path
        tokens = int(body.get("max_tokens") or body.get("max_completion_tokens") or 1)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(tokens):
            time.sleep(TOKEN_S)
            part: dict[str, Any] = {"delta": {"content": " t5"}} if chat else {"text": " t5"}
            part["finish_reason"] = "length" if number == tokens - 1 else None
            self._event({"id": "x", "choices": [{"index": 0, **part}]})
        prompt = body.get("prompt") or "".join(str(one["content"]) for one in body.get("messages", ()))
        used = {"prompt_tokens": len(str(prompt).split()), "completion_tokens": tokens}
        self._event({"id": "x", "choices": [], "usage": used | {"total_tokens": sum(used.values())}})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def log_message(self, *_: object) -> None:
        """Nothing: the file of requests is the log."""

    def _event(self, body: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _note(self, body: object) -> None:
        with REQUESTS.open("a") as file:
            file.write(json.dumps({"path": self.path, "body": body}) + "\n")


if __name__ == "__main__":
    REQUESTS = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
