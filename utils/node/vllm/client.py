"""The load client's process: one host for all calls of a run, so that vLLM is imported once."""

from __future__ import annotations

import json
import re
import select
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matrix.errors import Exit
from matrix.vllm.model_variables import is_of_models
from utils.node import process
from utils.node.exceptions import RunFailed, decisive_lines
from utils.node.vllm import client_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

POLL_S = 0.1
GONE_S = 5.0
"""How long a host whose pipe is closed may take to end."""
_PROGRESS = re.compile(rb"(\d+)/\d+ \[")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call of the client ended."""

    status: int
    started_s: float
    """Monotonic clock of the node, which the client's times must lie within."""
    ended_s: float
    cpu_s: float


class Client:
    """Starts calls and watches them."""

    def __init__(
        self,
        python: str,
        env: dict[str, str],
        cores: Sequence[int],
        log: Path,
        revision: tuple[str, str] = ("", ""),
        *,
        ready_s: float = 900.0,
    ) -> None:
        """Start the host.

        Args:
            python: that has vLLM.
            env: of the client.
            cores: that it may use; empty means all.
            log: of the host.
            revision: a model of a hub and its commit, whose tokenizer the server has; the client would take the newest one.
            ready_s: how long a host may take until it takes calls.
        """
        self._log, self._revision, self._ready_s = log, revision, ready_s
        self._start = partial(
            process.start,
            [python, "-P", client_host.__file__],
            env=env,
            cores=cores,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._begin()

    def _begin(self) -> None:
        with self._log.open("ab") as sink:
            self._host = self._start(log=sink)
        self._buffer = b""
        self._began_s = time.monotonic()
        self.is_ready = False

    def restart(self) -> None:
        """After a call that went wrong: its process must not load the server, nor answer, any more."""
        self.stop()
        self._begin()

    def wait_ready(self) -> None:
        """Wait until the host takes calls, which is none of a call's own time.

        Raises:
            RunFailed: CLIENT_FAILED where that takes too long, or it ended.
        """
        end, name = self._began_s + self._ready_s, "client_start_s"
        while not self.is_ready:
            self.is_ready = bool((self._answer(end, limit=name) or {}).get("ready"))

    def call(self, argv: list[str], log: Path, limit_s: float, watch: Callable[[int, int], bool]) -> Ended:
        """Run one call to its end.

        Args:
            argv: the arguments of `vllm`.
            log: where the call writes.
            limit_s: how long it may take.
            watch: called a few times a second with the client's pid and the requests done; False gives the call up.
        """
        self.wait_ready()
        end = time.monotonic() + limit_s
        self._send({"argv": argv, "log": str(log), "revision": self._revision})
        started = time.monotonic()
        pid = int((self._answer(end) or {})["pid"])
        while True:
            if found := self._answer(end, wait_s=POLL_S):
                return Ended(int(found["rc"]), started, time.monotonic(), float(found["cpu_s"]))
            if not watch(pid, requests_done(log)):
                raise RunFailed(Exit.CLIENT_FAILED, "the load was given up")

    def stop(self) -> None:
        """End the host and whatever call is running."""
        process.stop(self._host, grace_s=0.5)
        for pipe in (self._host.stdin, self._host.stdout):
            if pipe:
                with suppress(BrokenPipeError):  # a call that could not be sent is still in it
                    pipe.close()

    def _send(self, call: dict[str, Any]) -> None:
        if self._host.stdin is None:
            raise AssertionError
        try:
            self._host.stdin.write((json.dumps(call) + "\n").encode())
            self._host.stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def _answer(
        self, end: float, wait_s: float | None = None, limit: str = "client_s"
    ) -> dict[str, Any] | None:
        """The host's next line; None if none came within `wait_s`."""
        if self._host.stdout is None:
            raise AssertionError
        until = end if wait_s is None else time.monotonic() + wait_s
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if time.monotonic() > end:
                raise RunFailed(
                    Exit.CLIENT_FAILED,
                    f"the load client did not {'end' if limit == 'client_s' else 'start'} within the cluster's limits.{limit}",
                    self._words(),
                )
            if left <= 0:
                return None
            if select.select([self._host.stdout], [], [], left)[0]:
                chunk = self._host.stdout.read1(65536)  # type: ignore[attr-defined]  # a BufferedReader, as Popen makes it
                if not chunk:
                    raise self._gone()
                self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _gone(self) -> RunFailed:
        try:
            how = process.how_it_ended(self._host.wait(GONE_S))
        except subprocess.TimeoutExpired:
            how = "closed its pipe"
        return RunFailed(Exit.CLIENT_FAILED, f"the load client's process {how}", self._words())

    def _words(self) -> list[str]:
        return decisive_lines(self._log.read_text(errors="replace"))


def requests_done(log: Path) -> int:
    """How far the client's own progress line is."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 512))
            found = _PROGRESS.findall(file.read())
    except OSError:
        return 0
    return int(found[-1]) if found else 0


def client_environment(env: dict[str, str], servers: dict[str, str]) -> dict[str, str]:
    """The load client's environment: the recipe's is the server's, but for where models are; no proxy is between them."""
    ours = {name: value for name, value in env.items() if name not in servers or is_of_models(name)}
    loopback = ",".join(filter(None, ["127.0.0.1", "localhost", env.get("NO_PROXY") or env.get("no_proxy")]))
    return ours | {"NO_PROXY": loopback, "no_proxy": loopback}
