"""What asks a run's server from outside: it writes what the server counts, and whatever a guest leaves or answers ends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.node.host import witness

pytestmark = pytest.mark.hostile

PAGE = 'vllm:request_success_total{reason="stop"} 2.0\nvllm:request_success_total{reason="length"} 3\nvllm:generation_tokens_total 1.5e+02\n'


class Answers(BaseHTTPRequestHandler):
    """A server that says what a test wants."""

    body, status = PAGE.encode(), 200

    def do_GET(self) -> None:
        """Whatever is asked."""
        self.send_response(self.status)
        self.send_header("location", "http://127.0.0.1:1/metrics")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """On a free port."""
    Answers.body, Answers.status = PAGE.encode(), 200
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_it_writes_what_a_server_counts_until_it_is_ended(
    tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    """By the program as the batch script starts it; the port comes later than it does."""
    run, path = tmp_path / "run-1-head", tmp_path / "run-1-head.metrics.csv"
    asking = subprocess.Popen(
        [sys.executable, "-s", "-m", "utils.node.host.witness", str(run), str(path)], cwd=ROOT
    )
    run.mkdir()
    (run / witness.PORT).write_text(f"{server.server_port}\n")
    try:
        end = time.monotonic() + 30
        while not path.exists() or len(path.read_text().splitlines()) < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        asking.terminate()
        asking.wait()
    head, first, *_ = path.read_text().splitlines()
    assert head == ",".join(witness.COLUMNS)
    asked, answered, requests, tokens = first.split(",")
    assert float(asked) <= float(answered) <= time.monotonic()
    assert (requests, tokens) == ("5", "150")


@pytest.mark.parametrize(
    "text", ["", "0", "80", "22\n", "65536", "99999", "-1", "8e3", "८०८०", "8000 9000", "x" * 99]
)
def test_a_port_that_is_none_is_asked_nothing(tmp_path: Path, text: str) -> None:
    """Neither one of the machine's own services below 1024."""
    (tmp_path / witness.PORT).write_text(text)
    assert witness.port_of(tmp_path) is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
def test_a_port_that_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """A link to a file with a number in it is not followed."""
    (tmp_path / "number").write_text("8000")
    if kind == "link":
        (tmp_path / witness.PORT).symlink_to(tmp_path / "number")
    elif kind == "pipe":
        os.mkfifo(tmp_path / witness.PORT)
    elif kind == "folder":
        (tmp_path / witness.PORT).mkdir()
    assert witness.port_of(tmp_path) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (PAGE.encode(), 302),
        (PAGE.encode(), 500),
        (b"x" * 5_000_000, 200),
        (b"\xff\xfe" * 100, 200),
        (b"vllm:request_success_total 1\n", 200),
        (b"vllm:request_success_total 9e999\nvllm:generation_tokens_total 1\n", 200),
        (b"vllm:request_success_total 1.1.1\nvllm:generation_tokens_total 1\n", 200),
        (b"vllm:request_success_total -1\nvllm:generation_tokens_total 1\n", 200),
    ],
)
def test_an_answer_that_counts_nothing_is_no_sample(
    server: ThreadingHTTPServer, body: bytes, status: int
) -> None:
    """Nothing is followed elsewhere, and nothing ends it."""
    Answers.body, Answers.status = body, status
    assert witness.counted(witness.page(server.server_port)) is None


def test_an_answer_that_never_ends_takes_its_time_and_no_more(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends a letter now and then."""

    def drip(self: Answers) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(40):
            self.wfile.write(b"x")
            time.sleep(0.05)

    monkeypatch.setattr(witness, "ANSWER_S", 0.3)
    monkeypatch.setattr(Answers, "do_GET", drip)
    begin = time.monotonic()
    assert witness.page(server.server_port) == ""
    assert time.monotonic() - begin < 1.5
