"""The server: answers like vLLM's, a token every few milliseconds, and lies by the point that a request must belong to.

Runs under a Python that has `tokenizers`, as `vllm serve MODEL … --port N`. A point's requests are counted: the warm-up's and
the load's numbers are those of the test's protocol.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from tests.liar.lies import LIES

TOKEN_S, PREFILL_S = 0.006, 0.03
HEAP = 8
CONCURRENCY, WARM_UP, LOAD = 4, 8, 40
"""Of each point, as the test's recipe has it."""


class State:
    """What has been so far."""

    def __init__(self, model: str) -> None:
        tokenizers = importlib.import_module("tokenizers")
        self.tokenizer = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
        self.requests = 0
        self.load_began = self.stalled_until = 0.0
        self.done: set[str] = set()
        self.start = time.time()
        self.totals = dict.fromkeys(
            ("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_hits", "request_success"),
            0,
        )
        self.engine_s = dict.fromkeys(("queue", "prefill", "decode"), 0.0)
        self.second: dict[str, int] | None = None
        self.lie = self.stale = ""
        self.remembered = self.totals

    def metrics(self) -> str:
        """As vLLM names them."""
        if self.lie == "stale" and self.stale:
            return self.stale
        second = self.second or dict.fromkeys(self.totals, 0)
        lines = [
            f'vllm:{name}_total{{engine="0"}} {value - second[name]}.0\n'
            for name, value in self.totals.items()
        ]
        for name, seconds in self.engine_s.items():
            series = f"vllm:request_{name}_time_seconds"
            lines.append(
                f'{series}_sum{{engine="0"}} {seconds}\n{series}_count{{engine="0"}} {self.totals["request_success"]}\n'
            )
        if self.second is not None:
            lines += [f'vllm:{name}_total{{engine="1"}} {value}.0\n' for name, value in second.items()]
        self.stale = "".join(lines) + f"process_start_time_seconds {self.start}\n"
        return self.stale

    def count(self, within: int, **grown: int) -> None:
        """What an engine did for a request: the first one, or the second where there are two."""
        share = {"starved": 10, "half-restart": 2}.get(self.lie, 0)
        for name, value in grown.items():
            self.totals[name] += value
            if self.second is not None and share and within % share == 1:
                self.second[name] += value

    def once(self, what: str) -> bool:
        """Whether it is the first time."""
        new = what not in self.done
        self.done.add(what)
        return new


async def complete(state: State, body: dict[str, Any], out: asyncio.StreamWriter) -> None:
    """A streamed completion of the load client."""
    number, state.requests = state.requests, state.requests + 1
    lie = LIES[min(number // (WARM_UP + LOAD), len(LIES) - 1)].name
    within = number % (WARM_UP + LOAD) - WARM_UP  # below 0: of the warm-up
    if within == 0:
        state.load_began = time.monotonic()
    _say_and_do(state, lie, within)
    await asyncio.sleep(0.25 if lie == "front-queue" else 0.0)
    if lie in {"refuses", "no-answer"} and within == 20:
        _nothing(lie, out)
        return
    tokens = int(body["max_tokens"]) - int(lie == "one-short" and within == 20)
    prompt = len(state.tokenizer.encode(body["prompt"]).ids)
    _head(out)
    came = time.monotonic()
    due = came + (0.0 if lie == "cached" and _is_fourth(within) else PREFILL_S)
    if lie in {"empty-first", "early"} and within >= 0:
        await asyncio.sleep(PREFILL_S - 0.01 if lie == "early" else 0.0)
        _event(out, {"choices": [{"index": 0, "text": ""}]})
    held, heap, first, last = 0, list[int](), 0.0, 0.0
    for token in range(tokens):
        if token:
            due += TOKEN_S * _slower(state, lie, within)
        await _until(state, due)
        if token == tokens // 2 and await _breaks(lie, within, out):
            return
        last = time.monotonic()
        first = first or last
        due = max(due, last - TOKEN_S)
        held += 1
        if within >= 0 and _is_held(lie, token, tokens):
            continue
        heap.append(held)
        held = 0
        if lie == "collected" and within >= 0 and len(heap) < HEAP and token < tokens - 1:
            continue
        while heap:
            event: dict[str, Any] = {"choices": [{"index": 0, "text": " t" * heap.pop(0)}]}
            _event(out, event, times=2 if lie == "twice" and within >= 0 else 1)
    await asyncio.sleep(0.2 if lie == "late-usage" and within >= 0 else 0.0)
    hits = 16 if lie == "cache" else 0
    state.count(
        within, prompt_tokens=prompt, generation_tokens=tokens, request_success=1, prefix_cache_hits=hits
    )
    unit = 1000 if lie == "engine-ms" and within >= 0 else 1
    state.engine_s["prefill"] += unit * (first - came)
    state.engine_s["decode"] += unit * (last - first)
    _event(out, {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": tokens}})
    _end(out)


def _nothing(lie: str, out: asyncio.StreamWriter) -> None:
    """An answer without a token."""
    if lie == "refuses":
        out.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    else:
        _head(out)
        _end(out)


async def _breaks(lie: str, within: int, out: asyncio.StreamWriter) -> bool:
    """What happens in the middle of an answer; whether it is the end."""
    if lie == "hangs" and within % 10 == 5:
        await asyncio.sleep(1.5)
    if lie == "cut" and within == 20:
        out.transport.abort()
        return True
    if lie == "error-event" and within == 20:
        _event(out, {"error": {"message": "the engine lost the request", "code": 500}})
        _end(out)
        return True
    return False


def _end(out: asyncio.StreamWriter) -> None:
    _chunk(out, b"data: [DONE]\n\n")
    _chunk(out, b"")


def _flood() -> None:
    """Write 40 MB of a chatty server's lines."""
    line = "INFO 11-26 10:00:00 [core.py:1] scheduled a step of four requests, and says so every time\n"
    block = (1000 * line).encode()
    for _ in range(40_000_000 // len(block)):
        sys.stdout.buffer.write(block)
    sys.stdout.flush()


def _say_and_do(state: State, lie: str, within: int) -> None:
    """What happens once, at a request of the load or of the warm-up."""
    if lie in {"stall", "hiccup"} and within == LOAD // 2:
        state.stalled_until = time.monotonic() + (5.0 if lie == "stall" else 0.5)
    if lie == "stutters" and within % 12 == 8:
        state.stalled_until = time.monotonic() + 0.2
    if lie == "stop" and within == LOAD // 2:
        pid = os.getpid()
        subprocess.Popen(["sh", "-c", f"kill -STOP {pid}; sleep 5.5; kill -CONT {pid}"])
    if lie == "restart-words" and within == LOAD // 2:
        print("INFO 11-26 10:00:00 [core.py:1] worker came back, re-initialized", flush=True)  # noqa: T201 - a log
    if lie == "warm-up-error" and within == -1:
        print("(EngineCore pid=7) ERROR 11-26 10:00:00 [core.py:1] lost a block, found it", flush=True)  # noqa: T201 - a log
    if lie == "new-start" and within == 1 and state.once(lie):
        state.start += 100
    if lie == "counters-back" and within == -WARM_UP and state.once(lie):
        state.totals = dict.fromkeys(state.totals, 0)
    if lie == "forgets" and within in {-WARM_UP, -WARM_UP // 2}:
        state.remembered = dict(state.totals) if within == -WARM_UP else state.remembered
        state.totals = dict(state.remembered)
    if lie == "floods" and within == 5:
        _flood()
    state.lie = lie if within >= 0 else ""
    if lie not in {"dead-engine", "starved", "half-restart"}:
        state.second = None
    elif state.second is None:
        state.second = dict.fromkeys(state.totals, 0)
    elif lie == "half-restart" and within == LOAD // 2:
        state.totals = {name: value - state.second[name] for name, value in state.totals.items()}
        state.second = dict.fromkeys(state.totals, 0)


def _is_fourth(within: int) -> bool:
    """Whether a request is one of a quarter of the load's."""
    return within >= 0 and within % 4 == 3


def _slower(state: State, lie: str, within: int) -> float:
    """How many times longer a token takes now."""
    if within < 0:
        return 1.0
    if lie == "decay":
        return 1.0 + 0.4 * (time.monotonic() - state.load_began)
    if lie == "cached" and _is_fourth(within):
        return 0.0
    return 6.0 if lie == "slow-half" and within < LOAD // 2 else 1.0


def _is_held(lie: str, token: int, tokens: int) -> bool:
    """Whether a token waits for the next one's answer, or has none."""
    if token == tokens - 1:
        return False
    if lie in {"empty-first", "early"}:
        return token == tokens - 3
    if lie == "unstreamed":
        return token % 25 == 24
    if lie == "burst-first":
        return token < 9
    return lie == "half-chunks" and token % 2 == 0


async def _until(state: State, due: float) -> None:
    await asyncio.sleep(due - time.monotonic())
    await asyncio.sleep(state.stalled_until - time.monotonic())  # a stall may have begun meanwhile


def _head(out: asyncio.StreamWriter) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")


def _event(out: asyncio.StreamWriter, body: dict[str, Any], times: int = 1) -> None:
    for _ in range(times):
        _chunk(out, b"data: " + json.dumps(body).encode() + b"\n\n")


def _chunk(out: asyncio.StreamWriter, data: bytes) -> None:
    out.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _answer(out: asyncio.StreamWriter, body: object) -> None:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    out.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


async def _post(state: State, path: str, body: dict[str, Any], out: asyncio.StreamWriter) -> None:
    if path == "/tokenize":
        _answer(out, {"count": 1})
    elif body.get("return_token_ids"):  # the harness's own look, to which it is honest
        _head(out)
        for _ in range(body["max_tokens"]):
            _event(out, {"choices": [{"index": 0, "text": " t", "token_ids": [5]}]})
        _event(out, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": body["max_tokens"]}})
        _end(out)
    elif body.get("stream"):
        await complete(state, body, out)
    else:
        _answer(out, {"usage": {"completion_tokens": body["max_tokens"]}})


async def main() -> None:
    """Listen until killed."""
    state = State(sys.argv[2])

    async def connection(reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while first := await reader.readline():
            method, path, _ = first.decode().split(" ", 2)
            length = 0
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            data = await reader.readexactly(length)
            if method == "POST":
                await _post(state, path, json.loads(data), out)
            else:
                gets = {"/version": {"version": "0.0.0+liar"}, "/metrics": state.metrics()}
                _answer(out, gets.get(path, ""))
            await out.drain()
        out.close()

    port = int(sys.argv[sys.argv.index("--port") + 1])
    server = await asyncio.start_server(connection, "127.0.0.1", port, limit=10_000_000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
