"""Results on their way back: read where they are written, or streamed from a node's spool by a step of the job."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol

from matrix.errors import Exit, HarnessError
from utils.launch.slurm import client
from utils.launch.slurm.names import digest
from utils.node import events, files, process
from utils.node.host import send

if TYPE_CHECKING:
    from utils.node.events import Event

LARGEST = 300_000_000
"""Bytes of one file that a node may send."""
AT_ONCE = 8_000_000
"""Bytes that one look takes in, more or less."""


class Source(Protocol):
    """New events of a job, with the files they tell of in place."""

    def read(self) -> list[Event]:
        """What is new, without waiting."""

    def close(self) -> None:
        """Stop looking."""


@dataclass(slots=True)
class Shared:
    """The nodes write to a folder that this side sees."""

    folder: Path
    restarts: int = 0
    """How often Slurm started the job again; what an earlier start wrote is not read."""
    _position: int = 0

    def read(self) -> list[Event]:
        """Whole new lines of events.jsonl."""
        try:
            with (self.folder / "events.jsonl").open("rb") as file:
                file.seek(self._position)
                chunk = file.read()
        except OSError:
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if self._position == 0 and self.restarts and not _begun(whole, self.restarts):
            return []
        self._position += len(whole)
        return [events.from_line(line) for line in whole.decode(errors="replace").split("\n") if line]

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a job has on its node."""

    work: str
    """Its folder."""
    log: str
    """Slurm's own log of it, or an empty text where that is with the results."""
    python: str
    restarts: int = 0
    """How often Slurm started the job again."""
    token: str = ""
    """Of the attempt; a spool of another one under the same name is not this job's. Empty where it is not known."""


@dataclass(slots=True)
class Staged:
    """A follower on the node sends its spool; files are checked against their hash, and acknowledged when they are on disk."""

    folder: Path
    """Where results go on this side."""
    handle: subprocess.Popen[bytes]
    seen: int = 0
    """Events passed on so far, also by a follower before this one."""
    over: bool = False
    complete: bool = False
    """The job had written its last word, and all of it is here."""
    missing: bool = False
    """There is no such spool on the node."""
    errors: list[str] = field(default_factory=list)
    """What did not arrive as it was sent."""
    said: list[str] = field(default_factory=list)
    """What srun and the follower wrote to stderr."""
    received: int = 0
    """Bytes so far."""
    _rest: list[bytes] = field(default_factory=list)
    """Pieces of a line that is not whole yet."""

    @classmethod
    def start(cls, where: list[str], left: Left, folder: Path, *, seen: int, hold_s: float) -> Staged:
        """Run the follower: `where` says on which node (`srun …`), `hold_s` below 0 stays as long as the job runs."""
        code = Path(send.__file__).read_text()
        command = [
            *where,
            left.python,
            "-s",
            "-c",
            code,
            left.work,
            left.log,
            str(seen),
            str(hold_s),
            str(left.restarts),
            digest(left.token, 16) if left.token else "",
        ]
        handle = subprocess.Popen(
            command,
            env=client.environment(),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=lambda: process.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - the launcher has no threads
        )
        for stream in (handle.stdout, handle.stderr):
            if stream:
                os.set_blocking(stream.fileno(), False)
        return cls(folder, handle, seen)

    def read(self) -> list[Event]:
        """What came since; files go to disk before the events that tell of them are returned."""
        found: list[Event] = []
        ended = self.handle.poll() is not None
        chunk = self._new(self.handle.stdout)
        self.received += len(chunk)
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest.clear()
        self._rest.append(rest)
        for line in lines:
            found += self._take(line)
        self.said += self._new(self.handle.stderr).decode(errors="replace").splitlines()
        if ended and len(chunk) < AT_ONCE:
            self.over = True
        return found

    def _take(self, line: bytes) -> list[Event]:
        try:
            return self._understand(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
            self.errors.append(f"not a line of the follower: {line.decode(errors='replace')[:300]}")
        except HarnessError as error:
            if error.exit_code is Exit.STORAGE_FULL:
                raise
            self.errors.append(str(error))  # such as a name that is a file here and a folder there
        return []

    def _understand(self, content: dict[str, Any]) -> list[Event]:
        if "event" in content:
            self.seen += 1
            return [events.from_line(str(content["event"]))]
        if "file" in content:
            with contextlib.suppress(BrokenPipeError):
                self._store(str(content["file"]), str(content["sha256"]), str(content["data"]))
        elif "end" in content:
            self.complete = bool(content["end"]) and not self.errors
            if self.handle.stdin and not self.errors:
                with contextlib.suppress(BrokenPipeError):
                    self.handle.stdin.write(b"ok\n")
                    self.handle.stdin.flush()
        elif "missing" in content:
            self.missing = True
        return []

    def _store(self, name: str, sha256: str, data: str) -> None:
        """One file; a name that leads elsewhere or a content that is not as announced is an error, and then nothing is acknowledged."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            self.errors.append(
                f"the node sent a file under the name {name!r}, which leads out of the results"
            )
            return
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(data), LARGEST)
        if unpacker.unconsumed_tail or hashlib.sha256(content).hexdigest() != sha256:
            self.errors.append(f"{name} did not arrive as it was sent")
            return
        files.write_whole(self.folder / path, content)

    @staticmethod
    def _new(stream: IO[bytes] | None) -> bytes:
        """What waits in a raw pipe that was set not to block; not more than is good for the other jobs."""
        found, size = [], 0
        while stream and size < AT_ONCE and (chunk := stream.read(1 << 20)):
            found.append(chunk)
            size += len(chunk)
        return b"".join(found)

    def close(self) -> None:
        """End the follower, which leaves the spool as it is."""
        process.stop(self.handle, grace_s=3)
        for stream in (self.handle.stdin, self.handle.stdout, self.handle.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _begun(text: bytes, restarts: int) -> bool:
    first = events.from_line(text.split(b"\n", 1)[0].decode(errors="replace"))
    return int(first.get("facts", {}).get("restarts", 0)) >= restarts


def is_last(event: Event) -> bool:
    """Whether it is the batch script's last word."""
    return event["kind"] == "end" and event.get("name") == "job"
