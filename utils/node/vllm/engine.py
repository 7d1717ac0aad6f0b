"""Which engine answers: its processes with their starts, its own start time, and counters that only rise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.node import process
from utils.node.vllm.server import read_counters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from utils.node.record import Counters

NAMED = "VLLM::"
"""How vLLM's engine and workers call themselves (setproctitle)."""
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
    def read(cls, server_pid: int, metrics: str) -> Engine:
        """Now.

        Args:
            server_pid: the server's main process.
            metrics: the text of its /metrics.

        Raises:
            RunFailed: SERVER_UNHEALTHY where a counter is missing.
        """
        told = _STARTED.search(metrics)
        return cls(_processes(server_pid), float(told[1]) if told else None, read_counters(metrics))


def changes(first: Engine, before: Engine, now: Engine) -> list[str]:
    """Why it is not one engine, in words; empty where it is.

    Args:
        first: when the server had answered its first completion: processes and start time are compared with it.
        before: the last time before now: counters are compared with it.
        now: after a load, or before one.
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
    return found


def _processes(server_pid: int) -> dict[int, tuple[str, str]]:
    """The engine's own: those that vLLM has named, else the server's main process; helpers such as compilers come and go."""
    found = {}
    for pid in [server_pid, *process.descendants(server_pid)]:
        try:
            began = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        name = words[0].decode(errors="replace")
        if pid == server_pid or name.startswith(NAMED):
            found[pid] = (began, name[:60])
    return found
