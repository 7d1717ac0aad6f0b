"""A server in a container of its own, as the run sees it from outside: started, watched and ended by asking `server_host` there.

What it answers is the word of whoever runs there. An answer that does not come, or that is none, counts as the server's end.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matrix.errors import Exit
from utils.node.exceptions import RunFailed
from utils.node.spec import SERVER_ENDED, SERVER_READY, SERVER_SOCKET, STARTED
from utils.node.vllm.server_host import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from utils.node.variables import Wanted
    from utils.node.vllm.server_process import Processes

ANSWER_S = 60.0
"""More than a server gets to end itself."""
MOST = 1000
"""Processes of an engine that are looked at; one of many devices has some hundred."""
LOST = 255
"""The status of a server that nobody can be asked about."""
_NUMBER = re.compile("[0-9]{1,10}")


class Apart:
    """Starts servers in another container."""

    def __init__(self, shared: Path, own: Path, results: Path, limit_s: float) -> None:
        """Listen, and say that the container may start.

        Args:
            shared: a folder that both containers see, with what the server needs in it already.
            own: the run's, where nobody else writes but the batch script.
            results: the run's; `started` is there but while the container is waited for, and nobody there can take it away.
            limit_s: how long the container may take to start.
        """
        self._own, self._limit_s = own, limit_s
        self._started = results / STARTED
        self._started.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX)
        try:
            self._listening.bind(str(shared / SERVER_SOCKET))
        except OSError as error:
            self._listening.close()
            why = f"{shared / SERVER_SOCKET} cannot be a socket ({error}); name a shorter container.workdir"
            raise RunFailed(Exit.SETUP_FAILED, why) from error
        self._listening.listen(1)
        self._listening.settimeout(0.2)
        self._lines: Lines | None = None
        (own / SERVER_READY).touch()

    def start(
        self, command: Sequence[str], wanted: Wanted, cores: Sequence[int], log: IO[bytes]
    ) -> ServerElsewhere:
        """Start a server there.

        Raises:
            RunFailed: SERVER_EXITED where the container or the program did not start.
        """
        lines = self._lines = self._lines or self._connected()
        body = {"do": "start", "command": list(command), "wanted": asdict(wanted), "cores": list(cores)}
        said = ask(lines, body, log.fileno())
        if said is None or "pid" not in said:
            why = (said or {}).get("error", "its container does not answer")
            raise RunFailed(Exit.SERVER_EXITED, f"the server could not be started: {str(why)[:300]}")
        return ServerElsewhere(lines)

    def close(self) -> None:
        """End whatever runs there."""
        self._listening.close()
        if self._lines:
            self._lines.link.close()

    def _connected(self) -> Lines:
        end = time.monotonic() + self._limit_s
        while time.monotonic() < end:
            if code := self._ended():
                raise RunFailed(
                    Exit.SERVER_EXITED, f"the server's container ended before it served (exit {code})"
                )
            try:
                link, _ = self._listening.accept()
            except TimeoutError:
                continue
            self._started.touch()
            return Lines(link, answer_s=ANSWER_S, files=False)
        raise RunFailed(
            Exit.SERVER_NOT_READY,
            f"the server's container did not start within {self._limit_s:.0f} s (limits.ready_s of the cluster)",
        )

    def _ended(self) -> str:
        try:
            return (self._own / SERVER_ENDED).read_text().strip() or "unknown"
        except FileNotFoundError:
            return ""


class ServerElsewhere:
    """A server that runs in another container."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its status as it is said there; `LOST` where nobody can be asked."""
        if self._status is None:
            said = ask(self._lines, {"do": "poll"})
            status = LOST if said is None else said.get("status", LOST)
            self._status = status if status is None or type(status) is int else LOST
        return self._status

    def stop(self) -> None:
        """End it there."""
        said = ask(self._lines, {"do": "stop"})
        status = (said or {}).get("status")
        self._status = status if type(status) is int else LOST

    def processes(self) -> Processes:
        """As they are numbered there."""
        found = self._said("processes", "processes")
        rows = found.items() if isinstance(found, dict) else ()
        return {
            int(pid): (str(row[0])[:20], str(row[1])[:60])
            for pid, row in list(rows)[:MOST]
            if _NUMBER.fullmatch(pid) and isinstance(row, list) and len(row) == 2  # noqa: PLR2004 - begin and name
        }

    def rss_bytes(self) -> int:
        """As it is said there."""
        return int(self._number("rss_bytes", "bytes"))

    def cpu_elsewhere_s(self) -> float:
        """Of all that runs in its container."""
        return self._number("cpu_s", "seconds")

    def _number(self, what: str, name: str) -> float:
        found = self._said(what, name)
        return float(found) if isinstance(found, int | float) and 0 <= found < 1e18 else 0.0  # noqa: PLR2004 - no sum of bytes or seconds

    def _said(self, what: str, name: str) -> Any:  # noqa: ANN401 - whatever a guest sent
        return (ask(self._lines, {"do": what}) or {}).get(name) if self._status is None else None


def ask(lines: Lines, body: dict[str, Any], file: int | None = None) -> dict[str, Any] | None:
    """One question and its answer; None where there is none, after which nothing is asked any more."""
    try:
        lines.send(body, file)
        return lines.read()
    except (OSError, ValueError, RecursionError):
        lines.link.close()
        return None
