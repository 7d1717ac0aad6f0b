"""Reading a server's counters."""

from __future__ import annotations

import contextlib
import http.server
import random
import threading
import time
import tracemalloc
from pathlib import Path
from unittest import mock

import pytest

from matrix.errors import Exit
from utils.node.exceptions import RunFailed
from utils.node.vllm import engine, server, server_metrics
from utils.node.vllm.server import read_counters

METRICS = """\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 1.5e+02
vllm:generation_tokens_total{engine="0"} 7.0
vllm:num_preemptions_total 0.0
vllm:prefix_cache_hits_total{engine="0"} 3.0
vllm:request_success_total{engine="0",finished_reason="length"} 4.0
vllm:request_success_total{engine="0",finished_reason="stop"} 1.0
"""


def test_counters_are_summed_over_labels() -> None:
    """Engines and reasons add up."""
    found = read_counters(METRICS)
    assert (found.prompt_tokens, found.prefix_cache_hits, found.requests_succeeded) == (250, 3, 5)


def test_a_missing_counter_is_an_error() -> None:
    """A gate on a counter that is not there could not fail."""
    with pytest.raises(RunFailed, match="vllm:num_preemptions_total"):
        read_counters(METRICS.replace("num_preemptions", "num_preempted"))


def test_counters_that_were_turned_off_are_told_as_that() -> None:
    """Not a vLLM that names them otherwise: there is none of them at all."""
    with pytest.raises(RunFailed, match="--disable-log-stats"):
        read_counters('http_requests_total{handler="/health"} 3.0\n')


ODD = ["[]", "7", "null", '"x"', "no JSON", "[" * 100_000, '{"count": "many", "version": 7, "usage": 7}', '{"count": 1e999, "version": {}, "usage": []}',
       '{"count": -1, "version": null, "usage": null}', '{"count": ' + "9" * 5000 + "}", '{"version": "' + "x" * 101 + '"}']  # fmt: skip


class Liar(http.server.BaseHTTPRequestHandler):
    """Says the same to everybody."""

    text = ""

    def do_GET(self) -> None:
        """The answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def do_POST(self) -> None:
        """The same."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


@pytest.mark.hostile
@pytest.mark.parametrize("text", ODD, ids=lambda text: text[:20])
def test_an_odd_answer_is_the_servers_fault(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point that failed, with whose answer it was: no error in servematrix."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    kind = type("One", (Liar,), {"text": text})
    (tmp_path / "log").write_text("")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        running = mock.Mock(poll=lambda: None)
        one = server.Server(httpd.server_address[1], tmp_path / "log", "m", running, 0.0)
        for ask in (lambda: one.complete_once(5), one.special_tokens, one.version):
            with pytest.raises(RunFailed) as caught:
                ask()
            assert caught.value.exit_code is Exit.SERVER_UNHEALTHY
        assert one.stream_once(5).failed or not one.stream_once(5).tokens
        httpd.shutdown()


def test_of_a_log_of_gigabytes_little_is_read(tmp_path: Path) -> None:
    """A server that writes without end costs the run neither its memory nor its time; how much was left out is known."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(2_000_000_000)  # holes, which take no room
        file.seek(0)
        file.write(b"INFO first words\n")
        file.seek(0, 2)
        file.write(b"\nValueError: last words\n")
    size, most = log.stat().st_size, server.MOST_LOG
    one = server.Server(1, log, "m", mock.Mock(poll=lambda: 1), 0.0)
    tracemalloc.start()
    found, died = one.text(0), one.died()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * most
    assert found.startswith("INFO first words")
    assert len(found) == most
    assert died.evidence == ["ValueError: last words"]
    assert one.unread(0, most) == size - 2 * most
    assert one.unread(0, 3 * most) == size - 2 * most
    assert one.unread(size - most, size - 5) == one.unread(size, size) == 0


NUMBERS = ["1e999", "-1", "e", "--", "+", "1e18", "9" * 400, "-0", "1.5", "0"]


@pytest.mark.hostile
@pytest.mark.parametrize("seed", range(20))
def test_no_page_of_metrics_ends_a_run_as_an_error_in_servematrix(seed: int) -> None:
    """Counters that are none are the server's fault; of the rest, what is absurd is passed over."""
    chance = random.Random(seed)  # noqa: S311 - of a test
    names = server_metrics.names("").values()

    def page() -> str:
        lines = [f"process_start_time_seconds {chance.choice(NUMBERS)}"]
        lines += [f"{name} {chance.choice(NUMBERS)}" for name in server._METRICS.values()]
        for name in names:
            ends = [
                "",
                "_count",
                "_sum",
                *(f'_bucket{{le="{le}"}}' for le in ("0.1", "1", "x", "nan", "-1e999", "", "+Inf")),
            ]
            lines += [f"{name}{end} {chance.choice(NUMBERS)}" for end in ends if chance.random() < 0.8]
        return "\n".join(lines)

    for _ in range(40):
        with contextlib.suppress(RunFailed):
            engine.Engine.read(mock.Mock(processes=dict), page())
        looks = server_metrics.Looks()
        for at in range(6):
            looks.add(at, page())
        before, after = (server_metrics.Page.of(page()) for _ in "ba")
        server_metrics.window("", before, after, looks, server_metrics.Load(8, 3.0, (1, 3)))
