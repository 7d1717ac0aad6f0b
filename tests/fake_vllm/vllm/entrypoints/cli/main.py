"""The fake's `vllm serve` and `vllm bench serve`. FAKE_VLLM names the fault to play; empty plays a healthy pair."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

FAULT = os.environ.get("FAKE_VLLM", "")
COUNTERS = dict.fromkeys(
    ("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_hits", "request_success"), 0
)
LOCK = threading.Lock()
LOADS: list[int] = []
"""Measured loads so far, by the client's own word."""
COMPILES = {"compiles-once": 1, "compiles-always": 99, "compiles-and-output-short": 99}
"""In so many of a server's loads."""


class Handler(BaseHTTPRequestHandler):
    """Answers the addresses that the harness uses."""

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def answer(self, body: object, status: int = 200) -> None:
        """Send JSON, or text as it is."""
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """Health, version, metrics."""
        if self.path == "/health":
            self.answer("", 503 if FAULT == "never-ready" else 200)
        elif self.path == "/fault":
            self.answer(FAULT)
        elif self.path == "/version":
            self.answer({"version": "0.0.0+fake"})
        else:
            self.answer(
                "".join(f'vllm:{name}_total{{engine="0"}} {value}.0\n' for name, value in COUNTERS.items())
            )

    def do_POST(self) -> None:
        """Completions, tokenizer, and the fake client's report of what it pretended to send."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            self.answer({"count": 1})
        elif self.path == "/fake-load":
            with LOCK:
                for name, value in body.items():
                    COUNTERS[name] += value
            self.answer({})
        elif self.path == "/fake-compile":
            LOADS.append(1)
            compiles = len(LOADS) <= COMPILES.get(FAULT, 0)
            if compiles:
                print(
                    "WARNING 01-01 00:00:00 [jit_monitor.py:20] Triton kernel JIT compilation during inference: _fake_kernel",
                    flush=True,
                )
            self.answer({"compiles": compiles})
        elif FAULT == "first-completion-kills":
            print(
                "(EngineCore pid=1) ERROR 01-01 00:00:00 [core.py:1] RuntimeError: the fake engine died on purpose",
                flush=True,
            )
            os._exit(7)
        elif body.get("stream"):
            events: list[object] = [{"choices": [{"text": "x", "token_ids": [5]}]}] * body["max_tokens"]
            events.append({"choices": [], "usage": {"completion_tokens": body["max_tokens"]}})
            self.answer("".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n")
        else:
            self.answer({"usage": {"completion_tokens": 4}})


def serve(argv: list[str]) -> None:
    """Listen until killed; a child stands for the engine, so that tests see whether all of a server is ended."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "fake-engine"])
    if FAULT == "exit-at-start":
        print("ValueError: the fake server cannot start on purpose", flush=True)
        sys.exit(3)
    if FAULT in {"port-taken-once", "port-taken"}:
        tries = Path(os.environ["TMPDIR"]) / "fake-tries"
        if FAULT == "port-taken" or not tries.exists():
            tries.touch()
            print("OSError: [Errno 98] Address already in use, on purpose", flush=True)
            sys.exit(1)
    compiled = Path(os.environ["HOME"]) / ".triton/cache"
    compiled.mkdir(parents=True, exist_ok=True)
    print("compiled before:", *sorted(path.name for path in compiled.iterdir()), flush=True)
    (compiled / f"{FAULT or 'healthy'}-{os.getpid()}").touch()
    time.sleep(float(os.environ.get("FAKE_VLLM_START_S", "0.1")))
    port = int(argv[argv.index("--port") + 1])
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if FAULT == "die-mid-load":
        threading.Thread(target=_die_when_loaded, daemon=True).start()
    server.serve_forever()


def _die_when_loaded() -> None:
    while COUNTERS["request_success"] == 0:  # the warm-up reports first; the load comes after it
        time.sleep(0.02)
    time.sleep(0.3)
    print("torch.OutOfMemoryError: the fake server died under load on purpose", flush=True)
    os._exit(9)


def bench(argv: list[str]) -> None:
    """Pretend a closed loop and write the client's detailed result."""
    import requests

    given = dict(itertools.pairwise(argv))
    fault = requests.get(
        f"http://127.0.0.1:{given['--port']}/fault", timeout=5
    ).text  # the client has not the server's environment
    token_s = 0.002 * (1.2 if fault == "slow" else 1.0)
    n, c, seed = (int(given[name]) for name in ("--num-prompts", "--max-concurrency", "--seed"))
    ratio = json.loads(given["--random-range-ratio"])
    rng = np.random.default_rng(seed)

    def draw(name: str, side: str) -> np.ndarray:
        mean, spread = int(given[name]), ratio[side]
        return rng.integers(int(np.floor(mean * (1 - spread))), int(np.ceil(mean * (1 + spread))) + 1, size=n)

    inputs, outputs = draw("--random-input-len", "input"), draw("--random-output-len", "output")
    if fault in {"output-short", "compiles-and-output-short"} and n > 2 * c:
        outputs[3] -= 1
    rows: list[dict[str, object]] = []
    tpots: list[float] = []
    compiles = (
        n > 2 * c
        and requests.post(f"http://127.0.0.1:{given['--port']}/fake-compile", json={}, timeout=5).json()[
            "compiles"
        ]
    )
    free = [time.perf_counter()] * c
    begin = min(free)
    for i, o in zip(inputs, outputs, strict=True):
        slot = int(np.argmin(free))
        itl = [token_s] * int(o - 1)
        if compiles and not rows:
            itl[1] = 0.8  # nobody gets a token meanwhile, for at 1 there is nobody else
        latency = 0.01 + sum(itl)
        tpots.append(sum(itl) / len(itl))
        rows.append(
            {"start": free[slot], "ttft": 0.01, "latency": latency, "in": int(i), "out": int(o), "itl": itl}
        )
        free[slot] += latency
    if fault == "first-load-hangs" and n == 10:
        time.sleep(600)
    for done in range(n):
        time.sleep(max(0.0, (max(free) - begin) / n))
        print(f"\r {done + 1}/{n} [00:00", end="", file=sys.stderr, flush=True)
    empty = fault == "zero-completed" and n > 2 * c
    total = 0 if empty else n
    counted = {
        "prompt_tokens": int(inputs.sum()),
        "generation_tokens": int(outputs.sum()),
        "request_success": total,
    }
    requests.post(f"http://127.0.0.1:{given['--port']}/fake-load", json=counted, timeout=5)
    duration = max(free) - begin
    result = {
        "duration": duration,
        "completed": total,
        "failed": n - total,
        "start_times": [row["start"] for row in rows],
        "ttfts": [row["ttft"] for row in rows],
        "latencies": [row["latency"] for row in rows],
        "input_lens": [row["in"] for row in rows],
        "output_lens": [row["out"] for row in rows],
        "itls": [row["itl"] for row in rows],
        "errors": ["ConnectionError: refused on purpose" if empty else "" for _ in rows],
        "total_input_tokens": int(inputs.sum()),
        "total_output_tokens": int(outputs.sum()),
        "mean_ttft_ms": 10.0,
        "mean_tpot_ms": 1000 * float(np.mean(tpots)),
        "mean_e2el_ms": 1000 * float(np.mean([row["latency"] for row in rows])),
    }
    if (fault == "client-fails" and n > 2 * c) or (fault == "fails-at-2" and c == 2):
        print("RuntimeError: the fake client failed on purpose")
        sys.exit(5)
    target = Path(given["--result-dir"]) / given["--result-filename"]
    text = json.dumps(result)
    target.write_text(text[: len(text) // 2] if fault == "result-cut" and n > 2 * c else text)


def main() -> None:
    """The `vllm` command."""
    if sys.argv[1] == "serve":
        serve(sys.argv)
    else:
        bench(sys.argv)


if __name__ == "__main__":
    main()
