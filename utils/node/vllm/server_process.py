"""A server's main process, wherever it runs: what a run asks of it. Here it is a child of this program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from utils.node import process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from typing import IO

    from utils.node.variables import Wanted

NAMED = "VLLM::"
"""How vLLM's engine and workers call themselves (setproctitle)."""
_PAGE_BYTES = 4096

Processes = dict[int, tuple[str, str]]
"""Number -> when it began (ticks of the machine), and its name."""


class ServerProcess(Protocol):
    """A server that was started."""

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""

    def stop(self) -> None:
        """End it with all that it started."""

    def processes(self) -> Processes:
        """The engine's own: those that vLLM has named, and the main one; helpers such as compilers come and go."""

    def rss_bytes(self) -> int:
        """Resident memory of it and of all that it started."""

    def cpu_elsewhere_s(self) -> float:
        """Processor seconds of it and of all that it started, where it is not below this program."""


class Starter(Protocol):
    """Where servers are started."""

    def start(
        self, command: Sequence[str], wanted: Wanted, cores: Sequence[int], log: IO[bytes]
    ) -> ServerProcess:
        """Start one with its output in a log."""


class Child:
    """A server that this program started."""

    def __init__(self, handle: subprocess.Popen[bytes]) -> None:
        self._handle = handle
        self.pid = handle.pid

    def poll(self) -> int | None:
        """Its exit status."""
        return self._handle.poll()

    def stop(self) -> None:
        """End it."""
        process.stop(self._handle)

    def processes(self) -> Processes:
        """By /proc."""
        return named(self.pid)

    def rss_bytes(self) -> int:
        """By /proc."""
        return sum(map(_rss, [self.pid, *process.descendants(self.pid)]))

    def cpu_elsewhere_s(self) -> float:
        """None: it is below this program."""
        return 0.0


class Here:
    """Starts servers as children of this program."""

    def start(self, command: Sequence[str], wanted: Wanted, cores: Sequence[int], log: IO[bytes]) -> Child:
        """A child in a session of its own, which ends when this program does."""
        return Child(process.start(command, env=wanted.whole(), log=log, cores=cores))


def named(server_pid: int) -> Processes:
    """What /proc says of a server's engine."""
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


def _rss(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * _PAGE_BYTES
