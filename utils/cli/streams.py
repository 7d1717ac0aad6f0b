"""stdout and stderr as verbs see them: a reader that is gone, full or slow never stops, delays or replaces what is done."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matrix.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 65536
"""Bytes that are written at once."""
PENDING_MOST = 8_000_000
"""Bytes that wait for a slow reader where nobody else waits for it; what comes on top is not shown."""
LEAVE_S = 2.0
"""How long a cancelled command waits for a reader that does not read."""


class Stream(io.TextIOBase):
    """Text on its way to a file descriptor. Nothing here raises for what becomes of it; `lost` says so."""

    def __init__(self, handle: int, *, background: bool, when_lost: Callable[[str], None]) -> None:
        """Take a descriptor.

        Args:
            handle: that is open.
            background: a thread of its own writes, so that `write` and `flush` never wait for the reader.
            when_lost: called once, with the reason.
        """
        self._handle, self._background, self._when_lost = handle, background, when_lost
        self._pending: list[bytes] = []
        self._size = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._most = PENDING_MOST if background else sys.maxsize
        self.left_out = 0
        """Bytes that nobody was shown, because too many waited."""
        self.lost: int | None = None
        """Number of the error (errno) that ended it."""

    def fileno(self) -> int:
        """The descriptor, for a command that inherits it."""
        return self._handle

    def isatty(self) -> bool:
        """Whether somebody sits there."""
        return os.isatty(self._handle)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Hand a text over."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self.lost is None:
                if self._size + len(data) <= self._most:
                    self._pending.append(data)
                    self._size += len(data)
                else:
                    self.left_out += len(data)
            self._changed.notify_all()
        if self._background:
            self._begin()
        elif self._size >= CHUNK:
            self._drain()
        return len(text)

    def show_all(self) -> None:
        """From now on whatever comes waits for its reader: what was to be done is done."""
        self._most = sys.maxsize

    def flush(self) -> None:
        """Write what waits; in the background that is being done anyway."""
        if not self._background:
            self._drain()

    def lose(self, number: int) -> None:
        """Show nothing any more."""
        with self._changed:
            if self.lost is not None:
                return
            self.lost, self._size = number, 0
            self._pending.clear()
            self._changed.notify_all()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._handle)  # what a command inherits takes no error from it
        os.close(null)
        self._when_lost(os.strerror(number))

    def finish(self, limit_s: float | None = None) -> None:
        """Wait until everything is written; with a limit, no longer than that."""
        if self._thread is None:
            self._drain()
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(limit_s)

    def _begin(self) -> None:
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._serve, daemon=True)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # a thread inherits it
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._pending and not self._closing:
                    self._changed.wait()
                if not self._pending:
                    return
            self._drain()

    def _drain(self) -> None:
        while True:
            with self._changed:
                data = b"".join(self._pending)
                self._pending.clear()
            if not data:
                return
            try:
                self._put(data)
            except OSError as error:
                self.lose(error.errno or errno.EIO)
                return
            with self._changed:
                self._size = max(0, self._size - len(data))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._handle, view[:CHUNK]) :]
            except BlockingIOError:  # somebody else made it non-blocking
                select.select([], [self._handle], [])


class Ended:
    """The code that a command ends with, once it is known what became of its words."""

    def __init__(self, code: int = 0) -> None:
        self.code = code


@contextmanager
def shown(*, acts: bool, reads: bool) -> Iterator[Ended]:
    """Put both streams in the places of `sys.stdout` and `sys.stderr`.

    Args:
        acts: what the verb does shall not wait for a reader.
        reads: showing is all that the verb does, so that a reader that had enough is no failure.

    Yields:
        Where the command's exit code goes, and how it ends is read afterwards.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for number in closed:
        _open_null(number)  # else a file that is opened later would get everybody's words
    before = sys.stdout, sys.stderr
    err = Stream(2, background=acts, when_lost=lambda _: None)
    out = Stream(1, background=acts, when_lost=lambda why: _say_why(err, why, out, reads=reads))
    sys.stdout, sys.stderr = out, err
    ended = Ended()
    try:
        if 2 in closed:  # noqa: PLR2004 - the descriptor's number
            err.lose(errno.EBADF)
        if 1 in closed:
            out.lose(errno.EBADF)
        yield ended
    finally:
        limit_s = LEAVE_S if ended.code == Exit.CANCELLED else None
        out.finish(limit_s)
        if out.left_out:
            err.show_all()
            err.write(
                f"servematrix: {out.left_out:,} bytes of stdout are not shown: they came faster than they were read; "
                "send it to a file\n"
            )
        err.finish(limit_s)
        sys.stdout, sys.stderr = before
    if out.left_out or (out.lost is not None and not (reads and out.lost == errno.EPIPE)):
        ended.code = ended.code or int(Exit.NOT_SHOWN)


def _say_why(err: Stream, why: str, out: Stream, *, reads: bool) -> None:
    """One line, at once: a long run must not look as if it were silent."""
    if reads and out.lost == errno.EPIPE:
        return
    rest = "" if reads else "; what was asked for goes on"
    err.write(f"servematrix: stdout cannot be written ({why}), nothing more is shown there{rest}\n")
    err.flush()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
