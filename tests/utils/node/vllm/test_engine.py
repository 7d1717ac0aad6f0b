"""One engine or another one: processes, start time, counters; and what one streamed completion holds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from utils.node.completion import Streamed, parse, problem
from utils.node.record import Counters
from utils.node.vllm.engine import Engine, changes
from utils.node.vllm.server_process import Child

COUNTERS = Counters(
    prompt_tokens=10, generation_tokens=20, preemptions=0, prefix_cache_hits=0, requests_succeeded=3
)
FIRST = Engine({7: ("100", "vllm"), 8: ("101", "VLLM::EngineCore")}, 1795728790.0, COUNTERS)
METRICS = "".join(
    f'vllm:{name}_total{{engine="0"}} 3.0\n'
    for name in (
        "prompt_tokens",
        "generation_tokens",
        "num_preemptions",
        "prefix_cache_hits",
        "request_success",
    )
)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (FIRST, ""),
        (replace(FIRST, counters=COUNTERS.model_copy(update={"generation_tokens": 99})), ""),
        (replace(FIRST, processes={7: ("100", "vllm")}), "process 8 (VLLM::EngineCore) is gone"),
        (replace(FIRST, processes={**FIRST.processes, 8: ("555", "VLLM::EngineCore")}), "is another one"),
        (
            replace(FIRST, processes={**FIRST.processes, 9: ("555", "VLLM::Worker")}),
            "began after the server was ready",
        ),
        (replace(FIRST, started_unix_s=1795728791.0), "it says that it began at"),
        (
            replace(FIRST, counters=COUNTERS.model_copy(update={"generation_tokens": 0})),
            "went back from 20 to 0",
        ),
    ],
)
def test_what_shows_another_engine(now: Engine, words: str) -> None:
    """Each by itself."""
    found = "; ".join(changes(FIRST, FIRST, now))
    assert words in found
    assert bool(found) is bool(words)


def test_counters_are_compared_with_the_last_look() -> None:
    """An engine that began again below what it had reached is seen, although it is above the first look."""
    reached = replace(FIRST, counters=COUNTERS.model_copy(update={"generation_tokens": 500}))
    fallen = replace(FIRST, counters=COUNTERS.model_copy(update={"generation_tokens": 30}))
    assert changes(FIRST, FIRST, fallen) == []
    assert "went back" in changes(FIRST, reached, fallen)[0]


def test_what_was_answered_was_counted() -> None:
    """An engine that began anew within a warm-up is above the first look, and has not counted all that a client got."""
    after = replace(FIRST, counters=COUNTERS.model_copy(update={"requests_succeeded": 9}))
    assert changes(FIRST, FIRST, after, 6) == []
    assert changes(FIRST, FIRST, after, 8) == ["6 requests were counted, and 8 were answered"]


def test_processes_of_a_real_one() -> None:
    """The main process is always there; another start of it is another engine."""
    one = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    read = Engine.read(Child(one), METRICS + "process_start_time_seconds 1.5e+09\n")
    assert list(read.processes) == [one.pid]
    assert read.started_unix_s == 1.5e9
    one.kill()
    one.wait()
    assert "is gone" in changes(read, read, Engine.read(Child(one), METRICS))[0]


def events(*tokens: list[int] | None, counted: int) -> list[bytes]:
    """A stream, with a comment in it."""
    rows: list[object] = [
        {"choices": [{"text": "x"} | ({} if ids is None else {"token_ids": ids})]} for ids in tokens
    ]
    rows.append({"choices": [], "usage": {"completion_tokens": counted}})
    return [b": ping", *(b"data: " + json.dumps(row).encode() for row in rows), b"data: [DONE]"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (events([1], [2], [3], counted=3), ""),
        (events([], [1], [2], counted=2), "the first streamed answer brings no token"),
        (events([1], [2], counted=3), "3 tokens are counted, and 2 were streamed"),
        (events([1, 2], [3], counted=3), "came several in one streamed answer"),
        (events(None, None, counted=2), ""),
        ([b"data: [DONE]"], "nothing was streamed"),
    ],
)
def test_what_a_stream_holds(lines: list[bytes], words: str) -> None:
    """By the ids of its tokens; a server that tells none is not judged."""
    found = problem(parse(lines), speculative=False)
    assert words in found
    assert bool(found) is bool(words)


def test_a_stream_that_could_not_be_read_is_no_pass() -> None:
    """And speculative decoding may bring several."""
    assert problem(Streamed(failed="status 400"), speculative=False) == "status 400"
    assert problem(parse(events([1, 2], [3], counted=3)), speculative=True) == ""
