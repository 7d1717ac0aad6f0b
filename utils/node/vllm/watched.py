"""One call of the load client, watched: its progress is told, its server looked at, its result read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.node import process
from utils.node.exceptions import RunFailed, decisive_lines
from utils.node.vllm import load, load_result

if TYPE_CHECKING:
    from pathlib import Path

    from utils.node.events import Emit
    from utils.node.requests_raw import RawLoad
    from utils.node.telemetry import Sampler
    from utils.node.vllm.client import Client, Ended
    from utils.node.vllm.profiling import Profiling
    from utils.node.vllm.server import Server
    from utils.node.vllm.server_metrics import Looks

PROGRESS_EVERY_S = 0.5
DYING_S = 10.0


@dataclass(frozen=True, slots=True)
class Beside:
    """What happens beside a load, some times a second."""

    sampler: Sampler
    looks: Looks
    profiling: Profiling | None

    def tick(self, now: float, pid: int, server: Server) -> None:
        """Sample, look and start a profile, each when it is due."""
        self.sampler.take(pid)
        if self.looks.is_due(now):
            self.looks.add(now, server.glance())
        if self.profiling:
            self.profiling.tick(now)


@dataclass(frozen=True, slots=True)
class Watched:
    """A client and its server."""

    server: Server
    client: Client
    limit_s: float
    """Of a call."""
    emit: Emit

    def call(self, call: load.Call, folder: Path, beside: Beside | None) -> tuple[RawLoad, Ended]:
        """One call of the client, watched; its result is read and taken away."""
        server, dead_since, told = self.server, [0.0], [0.0]

        def watch(pid: int, done: int) -> bool:
            now = time.monotonic()
            if beside:
                beside.tick(now, pid, server)
            if now - told[0] > PROGRESS_EVERY_S:
                told[0] = now
                self.emit({"kind": "progress", "done": done, "total": call.requests})
            if not server.alive:
                dead_since[0] = dead_since[0] or now
                return now - dead_since[0] < DYING_S
            return True

        log = folder / call.log_name
        try:
            ended = self.client.call(load.argv(call), log, self.limit_s, watch)
        except RunFailed:
            if not server.alive:
                raise server.died() from None
            raise
        result = folder / call.result_name
        if not server.alive:
            raise server.died()
        if ended.status != 0 or not result.is_file():
            words = decisive_lines(log.read_text(errors="replace"))
            raise RunFailed(
                Exit.CLIENT_FAILED,
                f"the load client {process.how_it_ended(ended.status)} and left {'a' if result.is_file() else 'no'} result",
                words,
            )
        raw = load_result.parse(result.read_bytes(), call.result_name)
        result.unlink()
        return raw, ended
