"""Processes of others on the devices while a job runs, looked for every few seconds and written beside the power samples.

Standard library of Python 3.9: it runs on the host, outside containers, where process numbers are the kernel's own. What an nvidia-smi
prints was seen on H100s (driver 580); the files of ROCm's driver are those of utils/node/host/gpus.py, and no card was at hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from utils.node.host import allocation
from utils.node.host.gpus import KFD, strays
from utils.node.host.tools import die_with_parent, text_of

EVERY_S = 5.0
"""Between two looks."""
LONGEST = 65_536
"""Of a line; what a tool says without an end is none."""
ASK_NVIDIA = (
    "nvidia-smi",
    "--query-compute-apps=pid,process_name",
    "--format=csv,noheader",
    "-l",
    f"{EVERY_S:.0f}",
)
PROC = Path("/proc")
_JOB = re.compile(r"/job_(\d+)(?:/|$)", re.MULTILINE)


@dataclass
class Ours:
    """Which processes belong to the job that a meter runs beside: by descent, by the scheduler's control group, by its variable."""

    parent: int
    """The process that started the meter; all that a local job starts descends from it."""
    job: str = ""
    """Its number in the queue, where it has one."""
    proc: Path = PROC
    _known: dict[tuple[int, str], bool] = field(default_factory=dict)

    def has(self, pid: int) -> bool:
        """Whether a process is ours; one that is not to be seen (ended, or of another container) is nobody's."""
        start = self._stat(pid)[1]
        if not start:
            return True
        if (pid, start) not in self._known:
            self._known[pid, start] = self._descends(pid) or self._is_of_job(pid)
        return self._known[pid, start]

    def _descends(self, pid: int) -> bool:
        seen = set()
        while pid > 1 and pid not in seen:
            if pid == self.parent:
                return True
            seen.add(pid)
            pid = self._stat(pid)[0]
        return False

    def _is_of_job(self, pid: int) -> bool:
        if not self.job:
            return False
        if self.job in _JOB.findall(text_of(self.proc / str(pid) / "cgroup")):
            return True
        said = text_of(self.proc / str(pid) / "environ").split(
            "\0"
        )  # of another user: not to be read, and not ours
        return f"{allocation.JOB}={self.job}" in said

    def _stat(self, pid: int) -> tuple[int, str]:
        """Parent and start time of proc_pid_stat(5); 0 and nothing for a process that is not there."""
        fields = text_of(self.proc / str(pid) / "stat").rpartition(") ")[2].split()
        return (int(fields[1]), fields[19]) if len(fields) > 19 else (0, "")  # noqa: PLR2004 - field 22 of the page


class Others:
    """Looks for them; what it finds are lines for the file of samples."""

    def __init__(self, kind: str, ours: Ours, kfd: Path = KFD) -> None:
        self.kind, self.ours, self.kfd = kind, ours, kfd
        self.process: subprocess.Popen[bytes] | None = None
        self.rest, self.due_s = b"", 0.0

    def start(self) -> None:
        """Ask a tool that answers again and again; files of a driver are read by `look`."""
        if self.kind == "cuda":
            with contextlib.suppress(OSError):  # the meter asks the same tool, and says so
                self.process = subprocess.Popen(
                    ASK_NVIDIA,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    preexec_fn=lambda: die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - there are no threads here
                )

    def look(self) -> list[str]:
        """Lines of a look at the driver's files, when one is due."""
        now_s = time.monotonic()
        if self.kind != "rocm" or now_s < self.due_s:
            return []
        self.due_s = now_s + EVERY_S
        return self._lines(strays("rocm", self.kfd) or [])

    def read(self) -> list[str]:
        """Lines of what the tool said; a tool that ended says no more."""
        if self.process is None or self.process.stdout is None:
            return []
        chunk = os.read(self.process.stdout.fileno(), 65536)
        *lines, rest = (self.rest + chunk).split(b"\n")
        self.rest = rest if len(rest) <= LONGEST else b""
        if not chunk:
            self.stop()
        texts = (line.decode(errors="replace").strip() for line in lines)
        found = [text.replace(",", "", 1) for text in texts if re.fullmatch(r"\d+,[^,]+", text)]
        return self._lines(found)

    def stop(self) -> None:
        """End the tool."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None

    def _lines(self, found: list[str]) -> list[str]:
        """`# others AT PID NAME` of what is not ours."""
        foreign = [one for one in found if not self.ours.has(int(one.split()[0]))]
        return [f"# others {time.monotonic():.3f} {one[:120]}" for one in foreign]
