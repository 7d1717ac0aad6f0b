"""Which engine answers: its processes with their starts, its own start time, and counters that only rise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.node.vllm.server import read_counters
from utils.node.vllm.server_process import NAMED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from utils.node.record import Counters
    from utils.node.vllm.server_process import ServerProcess

_STARTED = re.compile(r"^process_start_time_seconds(?:{[^\n]*})? ([-+.0-9eE]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine at one moment."""

    processes: Mapping[int, tuple[str, str]]
    """Number -> when it began (ticks of the machine), and its name."""
    started_unix_s: float | None
    """As /metrics says; None where it does not."""
    counters: Counters

    @classmethod
    def read(cls, server: ServerProcess, metrics: str) -> Engine:
        """Now.

        Args:
            server: its main process.
            metrics: the text of its /metrics.

        Raises:
            RunFailed: SERVER_UNHEALTHY where a counter is missing.
        """
        told = _STARTED.search(metrics)
        return cls(server.processes(), _seconds(told[1]) if told else None, read_counters(metrics))


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def changes(first: Engine, before: Engine, now: Engine, completed: int = 0) -> list[str]:
    """Why it is not one engine, in words; empty where it is.

    Args:
        first: when the server had answered its first completion: processes and start time are compared with it.
        before: the last time before now: counters are compared with it.
        now: after a load, or before one.
        completed: requests that a client had answered since the last time, which an engine that began anew has forgotten.
    """
    found = []
    for pid, (began, name) in first.processes.items():
        other = now.processes.get(pid)
        if other is None:
            found.append(f"process {pid} ({name}) is gone")
        elif other[0] != began:
            found.append(f"process {pid} ({name}) is another one")
    came = [f"{name} ({pid})" for pid, (_, name) in now.processes.items() if pid not in first.processes]
    if came and any(name.startswith(NAMED) for _, name in first.processes.values()):
        found.append(f"{', '.join(came)} began after the server was ready")
    if first.started_unix_s is not None and now.started_unix_s != first.started_unix_s:
        found.append(f"it says that it began at {now.started_unix_s}, and said {first.started_unix_s}")
    found += [
        f"{name} went back from {getattr(before.counters, name)} to {getattr(now.counters, name)}"
        for name in type(now.counters).model_fields
        if getattr(now.counters, name) < getattr(before.counters, name)
    ]
    counted = now.counters.requests_succeeded - before.counters.requests_succeeded
    if 0 <= counted < completed:
        found.append(f"{counted} requests were counted, and {completed} were answered")
    return found
