"""One `vllm serve`: started in its own process group, ready after a real completion, always stopped."""

from __future__ import annotations

import math
import re
import socket
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import requests

from matrix.errors import Exit
from utils.node import completion
from utils.node.exceptions import RunFailed, decisive_lines
from utils.node.record import Counters
from utils.node.vllm.starting import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from utils.node.variables import Wanted
    from utils.node.vllm.server_process import ServerProcess, Starter

POLL_S = 0.2
GLANCE_S = 1.0
LONGEST = 100
"""Letters of a version."""
TAIL_BYTES = 16_384
"""Of the log, where the words of a start's stage are looked for."""
MOST_LOG = 16_000_000
"""Bytes of the log that are read at a time, whatever a server writes: a load's are far fewer, and gates need seconds for so many."""
FIRST_PROMPT = list(range(5, 37))
"""Token ids. Long enough to look like a prompt: on a CPU with AMX a first one of 4 tokens killed vLLM 0.32.0 (SIGILL)."""
ABSURD = 1e18
"""No count of a server."""
_WRONG = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading an answer ends with that is not as it should be."""
_PORT_IN_USE = re.compile(r"address already in use", re.IGNORECASE)
_METRICS = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
    "preemptions": "vllm:num_preemptions_total",
    "prefix_cache_hits": "vllm:prefix_cache_hits_total",
    "requests_succeeded": "vllm:request_success_total",
}
_SAMPLES = re.compile(
    rf"^({'|'.join(map(re.escape, _METRICS.values()))})(?:{{[^\n]*}})? ([-+.0-9eE]+)$", re.MULTILINE
)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Server:
    """A running server and its log."""

    port: int
    log: Path
    model: str
    process: ServerProcess
    started_s: float
    session: requests.Session = field(default_factory=requests.Session)

    @classmethod
    def start(
        cls,
        starter: Starter,
        command: Sequence[str],
        wanted: Wanted,
        cores: Sequence[int],
        *,
        port: int,
        log: Path,
        model: str,
    ) -> Server:
        """Start `vllm serve …` with its output in a log."""
        with log.open("wb") as sink:
            server = cls(port, log, model, starter.start(command, wanted, cores, sink), time.monotonic())
        server.session.trust_env = False  # a proxy of the node's environment must not stand between
        return server

    @property
    def alive(self) -> bool:
        """Whether the main process runs."""
        return self.process.poll() is None

    def text(self, since: int) -> str:
        """The log from a byte position on, `MOST_LOG` of it."""
        with self.log.open("rb") as file:
            file.seek(since)
            return file.read(MOST_LOG).decode(errors="replace")

    def last_words(self, most: int = MOST_LOG) -> str:
        """The log's end."""
        return self.text(max(0, self.log_size() - most))

    def unread(self, *since: int) -> int:
        """Bytes of the log that no `text` from one of these positions on has, which are in order."""
        edges = [*since, self.log_size()]
        return sum(max(0, end - begin - MOST_LOG) for begin, end in pairwise(edges))

    def log_size(self) -> int:
        """Bytes that the log has now."""
        return self.log.stat().st_size

    def wait_healthy(self, limit_s: float, waiting: Callable[[float, str], None]) -> None:
        """Wait until /health says 200; `waiting` gets the seconds and what the start is doing.

        Raises:
            RunFailed: SERVER_EXITED, PORT_TAKEN or SERVER_NOT_READY, with the log's decisive lines.
        """
        while True:
            age = time.monotonic() - self.started_s
            if not self.alive:
                raise self._exited()
            if age > limit_s:
                raise RunFailed(
                    Exit.SERVER_NOT_READY,
                    f"the server was not ready after {limit_s:.0f} s (limits.ready_s of the cluster)",
                    decisive_lines(self.last_words()),
                )
            try:
                if self.session.get(self._url("/health"), timeout=5).status_code == requests.codes.ok:
                    return
            except requests.RequestException:
                pass
            waiting(age, stage(self.last_words(TAIL_BYTES)))
            time.sleep(POLL_S)

    def complete_once(self, limit_s: float) -> None:
        """Ask for one real completion; some servers are healthy until their first one.

        Raises:
            RunFailed: SERVER_UNHEALTHY, with the log's decisive lines.
        """
        body = {
            "model": self.model,
            "prompt": FIRST_PROMPT,
            "max_tokens": 4,
            "temperature": 0,
            "ignore_eos": True,
        }
        why = ""
        try:
            answer = self.session.post(self._url("/v1/completions"), json=body, timeout=limit_s)
            if answer.status_code == requests.codes.ok and answer.json().get("usage", {}).get(
                "completion_tokens"
            ):
                return
            why = f"status {answer.status_code}"
        except (requests.RequestException, *_WRONG) as error:
            why = type(error).__name__
        time.sleep(1.0)  # the log's last words come after the connection broke
        raise RunFailed(
            Exit.SERVER_UNHEALTHY,
            f"/health said 200, and the first completion failed ({why})",
            decisive_lines(self.last_words()),
        )

    def stream_once(self, limit_s: float) -> completion.Streamed:
        """A streamed completion, read answer by answer; what goes wrong is said in it."""
        body = completion.body(self.model, FIRST_PROMPT)
        try:
            with self.session.post(
                self._url("/v1/completions"), json=body, timeout=limit_s, stream=True
            ) as answer:
                answer.raise_for_status()
                return completion.parse(answer.iter_lines())
        except (requests.RequestException, *_WRONG) as error:
            return completion.Streamed(failed=f"a streamed completion could not be read: {error!r}"[:300])

    def special_tokens(self) -> int:
        """Tokens that the tokenizer adds to a prompt by itself; the client takes them out of the length it draws."""
        lengths = []
        for add in (True, False):
            body: dict[str, object] = {"model": self.model, "prompt": "5", "add_special_tokens": add}
            count = self._said("POST", "/tokenize", "count", body)
            if not isinstance(count, int) or not 0 <= count < ABSURD:
                raise self._odd("/tokenize")
            lengths.append(count)
        return lengths[0] - lengths[1]

    def version(self) -> str:
        """What the server says it is."""
        found = self._said("GET", "/version", "version")
        if not isinstance(found, str) or len(found) > LONGEST:
            raise self._odd("/version")
        return found

    def metrics(self) -> str:
        """The page /metrics."""
        return self.ask("GET", "/metrics").text

    def glance(self) -> str:
        """The same during a load: empty where it does not come at once."""
        try:
            return self.session.get(self._url("/metrics"), timeout=GLANCE_S).text
        except requests.RequestException:
            return ""

    def died(self) -> RunFailed:
        """The error for a server that ended under load."""
        return RunFailed(
            Exit.SERVER_DIED,
            f"the server ended under load ({self._status()})",
            decisive_lines(self.last_words()),
        )

    def stop(self) -> None:
        """End the server with all that it started."""
        self.session.close()
        self.process.stop()

    def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, limit_s: float = 60.0
    ) -> requests.Response:
        """An answer of the server.

        Raises:
            RunFailed: SERVER_UNHEALTHY where it gave none, SERVER_DIED where it ended.
        """
        try:
            answer = self.session.request(method, self._url(path), json=body, timeout=limit_s)
            answer.raise_for_status()
        except requests.RequestException as error:
            if not self.alive:
                raise self.died() from error
            raise RunFailed(
                Exit.SERVER_UNHEALTHY,
                f"the server did not answer {path}: {error}",
                decisive_lines(self.last_words()),
            ) from error
        return answer

    def _said(self, method: str, path: str, name: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - a server's word
        answer = self.ask(method, path, body)
        try:
            return answer.json()[name]
        except _WRONG:
            return None

    def _odd(self, path: str) -> RunFailed:
        return RunFailed(
            Exit.SERVER_UNHEALTHY,
            f"the server's answer to {path} is not one that servematrix can read; its log may say why",
        )

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _status(self) -> str:
        status = self.process.poll()
        return "its main process still runs" if status is None else f"status {status}"

    def _exited(self) -> RunFailed:
        log = self.last_words()
        if _PORT_IN_USE.search(log):
            return RunFailed(
                Exit.PORT_TAKEN,
                f"port {self.port} is taken by another process; end it, or set `port: 0` in the cluster file",
                decisive_lines(log),
            )
        return RunFailed(
            Exit.SERVER_EXITED,
            f"the server ended before it was ready ({self._status()})",
            decisive_lines(log),
        )


def read_counters(text: str) -> Counters:
    """Sum the samples of each counter of /metrics over their labels; a name that this server lacks is an error, for its gates could not fail.

    Raises:
        RunFailed: SERVER_UNHEALTHY when a counter is missing.
    """
    totals: dict[str, int] = {}
    found: dict[str, list[float]] = {name: [] for name in _METRICS.values()}
    for name, value in _SAMPLES.findall(text):
        found[name].append(_number(name, value))
    for field_name, metric in _METRICS.items():
        samples = found[metric]
        if not samples and not re.search(r"^vllm:", text, re.MULTILINE):
            raise RunFailed(
                Exit.SERVER_UNHEALTHY,
                "the server's /metrics has no counters of vLLM at all, which gates need; --disable-log-stats, or several "
                "API servers, turn them off: take the flag out of the recipe",
            )
        if not samples:
            raise RunFailed(
                Exit.SERVER_UNHEALTHY,
                f"the server's /metrics has no {metric}; this vLLM has another name for it, which servematrix does not know",
            )
        totals[field_name] = int(sum(samples))
    return Counters(**totals)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < ABSURD:
        raise RunFailed(
            Exit.SERVER_UNHEALTHY, f"the server's /metrics says {name} {text[:40]}, which is no count"
        )
    return value


def difference(after: Counters, before: Counters) -> Counters:
    """What was counted between two readings."""
    return Counters(**{name: getattr(after, name) - getattr(before, name) for name in Counters.model_fields})
