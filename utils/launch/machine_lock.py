"""One run at a time on a machine: two that measure at once would measure each other.

The lock is an abstract Unix socket (unix(7)): one name for all users of the machine, and the kernel lets go of it when its process ends,
however it ends. Such names are of a network namespace, so a file is locked beside it (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "servematrix-machine"
ANOTHER = "SERVEMATRIX_MACHINE"
"""Set by tests that may run beside each other: another machine's name."""
POLL_S = 0.5
FOLDER = Path("/tmp")  # noqa: S108 - of all users, whatever their TMPDIR
"""Where the file is: named alike for everybody, empty, and closed to nobody who wants to lock it."""


@contextmanager
def alone_on_the_machine(tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run measures here, and keep the next one waiting.

    Args:
        tell: said once, if there is something to wait for.
    """
    waiting = False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock, _file() as file:
        for taken in (partial(_taken, lock), partial(_locked, file)):
            while not taken():
                if not waiting:
                    tell("another run is measuring on this machine; this one starts when that has ended")
                    waiting = True
                time.sleep(POLL_S)
        yield


def _taken(lock: socket.socket) -> bool:
    try:
        lock.bind(f"\0{_name()}")
    except OSError:
        return False
    return True


@contextmanager
def _file() -> Iterator[int | None]:
    """An empty file that any user may lock; None where it cannot be made, where the socket alone must do."""
    path = FOLDER / f"{_name()}.lock"
    file = None
    for flags in (
        0,
        os.O_CREAT | os.O_EXCL,
        0,
    ):  # not made and opened at once: in a folder like /tmp the kernel forbids that for another user's
        with suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o444)
            break
    try:
        yield file
    finally:
        if file is not None:
            os.close(file)


def _locked(file: int | None) -> bool:
    if file is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _name() -> str:
    return f"{NAME}{os.environ.get(ANOTHER, '')}"
