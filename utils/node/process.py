"""Processes that never outlive the node: own groups, a subreaper, and a sweep of everything below."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from utils.node.exceptions import Cancelled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from types import FrameType
    from typing import IO

RAISE_AGAIN_S = 0.3
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make orphans of this process's descendants its own children, so that the sweep finds them (prctl(2))."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(sig: int) -> None:
    """Ask the kernel for a signal when the parent dies, even of SIGKILL (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)


ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Signals with which a person or a machine ends a run."""


def signal_of(interrupt: KeyboardInterrupt) -> str:
    """The signal behind an interruption of the command: Python says nothing of a Ctrl-C, and the command names any other."""
    return str(interrupt) or signal.SIGINT.name


def cancel_on_signals() -> None:
    """Turn signals that end a run into `Cancelled`, raised again each moment until `cancellation_seen`.

    An exception raised by a handler can be lost where Python ignores exceptions (a finalizer, a callback), so once is
    not enough. Under `nohup` SIGHUP stays ignored.
    """
    first: list[str] = []

    def handler(number: int, _frame: FrameType | None) -> NoReturn:
        first.append(signal.Signals(number).name)
        signal.setitimer(signal.ITIMER_REAL, RAISE_AGAIN_S)
        raise Cancelled(first[0])

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # the local launcher starts us with them blocked


def lock_stderr() -> None:
    """Hold a lock on what standard error is, in this process and its children; who waits for it knows when they ended."""
    with contextlib.suppress(OSError):  # a file system without locks, or no file at all
        fcntl.flock(sys.stderr.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def cancellation_seen() -> None:
    """From here on things are being ended, which no further signal shall interrupt."""
    for number in (*ENDING, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals back while a finished measurement is written; they are delivered afterwards."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(
    command: Sequence[str],
    *,
    env: dict[str, str],
    log: IO[bytes],
    cores: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, pinned to cores, ending when the node ends; its folder is its HOME unless given."""

    def in_child() -> None:
        die_with_parent(signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)  # an ignored signal would stay ignored in the command
        if cores:
            os.sched_setaffinity(0, cores)

    return subprocess.Popen(
        list(command),
        cwd=folder
        or env.get("HOME"),  # not ours: `python -m`, which a server starts, imports from there first
        env=env,
        stdin=stdin,
        stdout=log if stdout is None else stdout,
        stderr=subprocess.STDOUT if stdout is None else log,
        start_new_session=True,
        preexec_fn=in_child,  # noqa: PLW1509 - the node has no threads when it starts processes
    )


def stop(process: subprocess.Popen[bytes], grace_s: float = 20.0) -> None:
    """End a process and its group: SIGTERM, a grace, SIGKILL."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _stat(pid: int | str) -> list[bytes]:
    """What /proc says of a process, from the third field on (proc(5)); a name before them may hold anything."""
    file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        return os.read(file, 4096).rpartition(b")")[2].split()
    finally:
        os.close(file)


def descendants(of: int, spare: Collection[int] = ()) -> list[int]:
    """Every process below one, by /proc, but those to spare and what is below them."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - all processes of a machine, some times a second: objects for paths cost more than the files
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat(name)[1]), []).append(int(name))
    found, queue = [], [of]
    while queue:
        below = [pid for pid in children.get(queue.pop(), []) if pid not in spare]
        found += below
        queue += below
    return found


def sweep(limit_s: float = 10.0, spare: Collection[int] = ()) -> None:
    """Kill and reap everything below this process, which must have adopted its orphans, but those to spare."""
    end = time.monotonic() + limit_s
    while (left := descendants(os.getpid(), spare)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def tree_cpu_seconds(pid: int) -> float:
    """What a process and all that it started have used, also those that ended and were waited for (proc(5), fields 14 to 17)."""
    total = 0.0
    for one in (pid, *descendants(pid)):
        try:
            fields = _stat(one)
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return total


def how_it_ended(status: int) -> str:
    """An exit status of subprocess, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def cpu_seconds(pid: int) -> float:
    """User and system seconds that a process has used, 0 when it is gone (proc(5), fields 14 and 15)."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
