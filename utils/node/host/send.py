"""Sends a job's spool over stdout, line by line, while the job writes it and afterwards.

Alone in one file, because it is sent as `python3 -c` and so needs nothing on the node: `… SPOOL LOG LINES HOLD_S RESTARTS MARK`. Each line
is JSON, either {"event": …} or {"file": name, "sha256": …, "data": zlib, base64}. Files of a point come before the event
that tells of the point. The last line is {"end": true}; the receiver answers `ok` on stdin once it has everything on
disk, and only then is the spool removed.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import sys
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_S = 0.1
ANSWER_S = 30.0
LARGEST = 256_000_000
"""Bytes of a file that is still sent; a log beyond it is cut at its front."""
POINT_DEPTH = 2
"""Folders between the results and a point's files: its run's and its own."""


class Spool:
    """A job's folder on the node: `results` with events.jsonl in it, and `done` with the exit code at the end."""

    def __init__(self, folder: Path, seen: int) -> None:
        self.folder, self.results = folder, folder / "results"
        self.skip = seen
        self.sent: dict[str, tuple[int, int]] = {}
        self.position = 0

    def begun(self, restarts: int, mark: str) -> bool:
        """Whether this is the spool of the job's last start: what an earlier start or job of the name left may lie here.

        The mark is the beginning of the hash of the job's token, because others on the node can read a command line.
        """
        try:
            with (self.results / "events.jsonl").open("rb") as file:
                first = json.loads(file.readline())
            token = hashlib.sha256(str(first.get("token", "")).encode()).hexdigest()
            return int(first["facts"]["restarts"]) >= restarts and token.startswith(mark)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return restarts == 0 and not mark

    def over(self) -> bool:
        """Whether the job wrote its last word."""
        return (self.folder / "done").exists()

    def events(self) -> Iterator[bytes]:
        """Whole new lines of events.jsonl."""
        try:
            with (self.results / "events.jsonl").open("rb") as file:
                file.seek(self.position)
                chunk = file.read()
        except OSError:
            return
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self.position += len(whole)
        yield from whole.split(b"\n")[:-1]

    def send_new(self, *, points_only: bool = False) -> None:
        """Send files that are new or have changed since they were sent.

        A container writes below here, so that a name may be a link to anything: folders are walked by their
        descriptors (os.fwalk), and only regular files are opened, never through a link.
        """
        for folder, below, names, handle in os.fwalk(self.results):
            below.sort()
            depth = len(Path(folder).relative_to(self.results).parts)
            if points_only and depth < POINT_DEPTH:
                continue
            for name in sorted(names):
                if not name.startswith("."):
                    self._send_new(os.path.join(folder, name), name, handle)  # noqa: PTH118 - a text is all it is used for

    def _send_new(self, path: str, name: str, folder: int) -> None:
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(file)
            state = (found.st_size, found.st_mtime_ns)
            if stat.S_ISREG(found.st_mode) and self.sent.get(path) != state:
                self.sent[path] = state
                send(opened, os.path.relpath(path, self.results))

    def pass_on(self) -> bool:
        """Send what is new; whether anything was."""
        some = False
        for line in self.events():
            some = True
            if self.skip > 0:
                self.skip -= 1
                continue
            if b'"point"' in line:  # its files are whole by now
                self.send_new(points_only=True)
            out({"event": line.decode(errors="replace")})
        return some


def send(file: IO[bytes], name: str) -> None:
    """One file, up to what may be sent."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - LARGEST))
    content = file.read(LARGEST)
    data = base64.b64encode(zlib.compress(content)).decode()
    out({"file": name, "sha256": hashlib.sha256(content).hexdigest(), "data": data})


def send_log(log: Path) -> bool:
    """What Slurm itself wrote about the job, if it is there."""
    if not log.is_file():
        return False
    with log.open("rb") as file:
        send(file, "slurm.log")
    return True


def out(content: dict[str, object]) -> None:
    """One line to the receiver."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def main(folder: str, log: str, seen: str, hold_s: str, *start: str) -> int:
    """Follow to the end; without news for `hold_s` from a job that does not run any more, stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, signal.SIG_IGN
        )  # a cancelled job ends this step too: what it still writes is wanted
    spool = Spool(Path(folder), int(seen))
    if not (spool.results.is_dir() and spool.begun(int(start[0]), start[1])):
        if float(hold_s) >= 0 and send_log(Path(log)):
            Path(log).unlink()
        if float(hold_s) >= 0 and not (spool.results / "events.jsonl").exists():
            # Results are shared and the script was killed; or who removed this was killed meanwhile, and everything is home.
            shutil.rmtree(folder, ignore_errors=True)
        out({"missing": folder})
        return 3
    lock = os.open(Path(folder, "follower.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)  # the job's last act waits until nobody holds this
    news = time.monotonic()
    while True:
        over = spool.over()
        if spool.pass_on():
            news = time.monotonic()
        elif over or (float(hold_s) >= 0 and time.monotonic() - news > float(hold_s)):
            break
        time.sleep(POLL_S)
    spool.send_new()
    send_log(Path(log))
    out({"end": over})
    if (
        (over or float(hold_s) >= 0)
        and select.select([sys.stdin], [], [], ANSWER_S)[0]
        and sys.stdin.readline().strip() == "ok"
    ):
        shutil.rmtree(folder, ignore_errors=True)
        if Path(log).is_file():
            Path(log).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
