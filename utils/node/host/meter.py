"""One sampler of power for every kind of device: `python3 -m utils.node.host.meter KIND FILE…` writes a sample a second until it is ended.

It runs beside a job, on the host and outside every container; what measures reads the file. Each line is stamped on the monotonic clock
when it comes, so that a tool that says nothing for a while leaves a gap, and nothing guesses. A tool that ends is started again.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

from utils.node.host import allocation
from utils.node.host.meter_tools import COLUMNS, TOOLS, HostMeter, Parser, Row, asked_for, packages
from utils.node.host.others import EVERY_S as LOOK_S
from utils.node.host.others import LONGEST, Others, Ours
from utils.node.host.tools import die_with_parent

EVERY_S = 1.0
ENDED = 128 + signal.SIGTERM
"""Exit code after a signal: whoever did not send it can say that somebody else did."""
AGAIN_S = 5.0
"""Between two starts of a tool that ended."""
REMARKS_MOST = 40
"""Lines of a tool that are no samples and are kept."""


class Sink:
    """The files, opened once: nothing that happens to their names later leads elsewhere."""

    def __init__(self, paths: list[str]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = [os.open(path, flags, 0o644) for path in paths]

    def line(self, text: str) -> None:
        """Append a whole line to each."""
        for file in self._files:
            os.write(file, f"{text}\n".encode())

    def row(self, now_s: float, row: Row) -> None:
        """Append a sample."""
        cells = [f"{now_s:.3f}", *(row.get(name, "") for name in COLUMNS[1:])]
        self.line(",".join(cells))


class Asked:
    """The vendor's tool, running."""

    def __init__(self, kind: str, sink: Sink) -> None:
        self.kind, self.tool, self.sink = kind, TOOLS[kind], sink
        self.tries = list(self.tool.commands)
        self.process: subprocess.Popen[bytes] | None = None
        self.told: list[str] = []
        self.failed = 0
        """Ways of asking that gave no sample, one after another."""
        self.parser, self.rest, self.due_s, self.spoke = Parser(kind), b"", 0.0, False

    def start(self, now_s: float) -> None:
        """Start it, if it is time to."""
        if self.process is not None or now_s < self.due_s:
            return
        self.due_s, self.rest, self.spoke = now_s + AGAIN_S, b"", False
        self.parser.header = []  # an error in its place is to be told
        self.parser.cells = asked_for(self.tries[0])
        try:
            self.process = self._popen(self.tries[0])
        except OSError as error:
            self._tell(f"cannot be started: {error.strerror}")

    def _popen(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
            },  # amd-smi is Python, and would keep its last lines to itself
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - there are no threads here
        )

    def read(self) -> None:
        """Take what it said; where it ended, note why, and try another way of asking if it never gave a sample."""
        if self.process is None or self.process.stdout is None:
            return
        chunk = os.read(self.process.stdout.fileno(), 65536)
        now_s = time.monotonic()
        *lines, rest = (self.rest + chunk).split(b"\n")
        self.rest = rest if len(rest) <= LONGEST else b""
        for line in lines:
            text = line.decode(errors="replace")
            row = self.parser.row(text)
            if row:
                self.spoke, self.failed = True, 0
                self.sink.row(now_s, row)
            elif not self.spoke and text.strip() and not self.parser.header:
                self._tell(text[:200])
            elif self.parser.odd and not any(one.startswith(self.parser.odd) for one in self.told):
                self._tell(f"{self.parser.odd}: {text[:150]}")
        if not chunk:
            if not self.spoke and self.rest.strip():
                self._tell(self.rest.decode(errors="replace")[:200])
            code = self.process.wait()
            self.sink.line(f"# {self.tool.name} ended with {code}")
            self.process.stdout.close()
            self.process = None
            if not self.spoke:  # after the last way the first: a driver that was not there yet is no old one
                self.tries.append(self.tries.pop(0))
                self.failed += 1
                self.due_s = 0.0 if self.failed % len(self.tries) else self.due_s

    def _tell(self, text: str) -> None:
        """Each thing once, in one line."""
        text = " ".join(text.split())
        if text not in self.told and len(self.told) < REMARKS_MOST:
            self.told.append(text)
            self.sink.line(f"# {self.tool.name}: {text}")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()


def run(kind: str, paths: list[str]) -> int:
    """Sample until a signal ends it; where nothing measures power here, say so and end."""
    die_with_parent(signal.SIGTERM)
    sink, host = Sink(paths), HostMeter(packages())
    tool = TOOLS.get(kind)
    there = tool is not None and shutil.which(tool.name) is not None
    sink.line(f"# meter {tool.name if tool else 'rapl' if host.counters else 'none'}")
    if tool and not there:
        sink.line(f"# {tool.name} is missing on this node")
    if not there and not host.counters:
        return 0
    sink.line(",".join(COLUMNS))
    asked = Asked(kind, sink) if there else None
    others = Others(kind, Ours(os.getppid(), allocation.job()))
    if there:
        others.start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    next_s = time.monotonic()
    try:
        while True:
            now_s = time.monotonic()
            if asked:
                asked.start(now_s)
            if host.counters and now_s >= next_s:
                next_s += EVERY_S
                if row := host.row(now_s):
                    sink.row(now_s, row)
            wait_s = max(0.0, next_s - now_s) if host.counters else AGAIN_S
            tools = [one.process for one in (asked, others) if one and one.process]
            speakers = [process.stdout for process in tools if process.stdout]
            ready = select.select(speakers, [], [], min(wait_s, AGAIN_S, LOOK_S))[0]
            if asked and asked.process and asked.process.stdout in ready:
                asked.read()
            said = others.read() if others.process and others.process.stdout in ready else others.look()
            for line in said:
                sink.line(line)
    finally:
        others.stop()
        if asked:
            asked.stop()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
