"""Starts servers in a container of their own, for a run outside of it: `python3 -m utils.node.vllm.server_host SOCKET`.

It runs beside an arm's own code, so that what it says is that arm's word: which processes run, what they use, and how they ended. The run asks
by lines of JSON, and the log comes as an open file. When the run's end of the socket closes, whatever runs here is ended.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from utils.node import process
from utils.node.variables import Wanted
from utils.node.vllm.server_process import Child

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 1_000_000
"""Bytes of a line: an environment and a command."""


class Lines:
    """Lines of JSON on a stream, and open files beside them."""

    def __init__(self, link: socket.socket, answer_s: float | None = None, *, files: bool = True) -> None:
        """On a stream.

        Args:
            link: to the other side.
            answer_s: how long a whole line may take, however it comes; as long as it likes where that is not said.
            files: whether the other side may send open files; else the kernel drops them.
        """
        self.link, self._answer_s, self._takes_files = link, answer_s, files
        self._rest = b""
        self._files: list[int] = []

    def send(self, body: dict[str, Any], file: int | None = None) -> None:
        """One line, and a file where there is one."""
        line = (json.dumps(body) + "\n").encode()
        self.link.settimeout(self._answer_s)
        sent = socket.send_fds(self.link, [line], [file] if file is not None else [])
        self.link.sendall(line[sent:])

    def read(self) -> dict[str, Any] | None:
        """The next line; None where the other side has gone.

        Raises:
            ValueError: for one that is too long or no JSON object.
            TimeoutError: where it does not come in time.
        """
        end = time.monotonic() + (self._answer_s or 0)
        while b"\n" not in self._rest:
            if len(self._rest) > LARGEST:
                raise ValueError("a line is too long")
            if self._answer_s is not None:
                self.link.settimeout(max(end - time.monotonic(), 1e-3))
            chunk, beside, _, _ = self.link.recvmsg(65536, socket.CMSG_SPACE(4) if self._takes_files else 0)
            for level, kind, data in beside:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._files += array.array("i", data[: len(data) - len(data) % 4])
            if not chunk:
                return None
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        body = json.loads(line)
        if not isinstance(body, dict):
            raise ValueError("a line is no object")  # noqa: TRY004 - of what came, not of what was called
        return body

    def file(self) -> int:
        """The file that came last."""
        return self._files.pop()

    def close_files(self) -> None:
        """Close what came and nobody took."""
        while self._files:
            os.close(self._files.pop())


WORDS: dict[str, Callable[[Child], dict[str, Any]]] = {
    "poll": lambda server: {"status": server.poll()},
    "processes": lambda server: {"processes": server.processes()},
    "rss_bytes": lambda server: {"bytes": server.rss_bytes()},
    "cpu_s": lambda _: {"seconds": process.tree_cpu_seconds(os.getpid())},
    "stop": lambda server: {"status": _stopped(server)},
}
"""What may be asked about a server that was started."""


def answer(asked: dict[str, Any], lines: Lines, server: Child | None) -> tuple[dict[str, Any], Child | None]:
    """Do what a line asks for: what is said, and the server that runs then."""
    if asked["do"] == "start":
        with os.fdopen(lines.file(), "ab") as log:
            env = Wanted(**asked["wanted"]).whole()
            server = Child(process.start(asked["command"], env=env, log=log, cores=asked["cores"]))
        return {"pid": server.pid}, server
    if server is None:
        return {"error": "no server was started"}, None
    return WORDS[asked["do"]](server), server


def _stopped(server: Child) -> int | None:
    server.stop()
    return server.poll()


def serve(lines: Lines) -> None:
    """Do what is asked until nobody asks any more."""
    server: Child | None = None
    while (asked := lines.read()) is not None:
        try:
            said, server = answer(asked, lines, server)
        except (OSError, LookupError, TypeError, ValueError) as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        lines.close_files()
        lines.send(said)


def main(path: str) -> int:
    """Connect, serve, leave no process behind. Signals are for the run, which then ends what is here."""
    process.die_with_parent(signal.SIGKILL)
    process.adopt_orphans()
    process.lock_stderr()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            serve(Lines(link))
    except (BrokenPipeError, ConnectionResetError):
        pass  # the run has ended
    finally:
        process.sweep()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
