"""One run at a time on a core and a GPU: two that measure at once on the same ones would measure each other.

A run of this machine has all of it, and an allocation what the scheduler gave it: `python3 -m utils.node.host.machine_lock READY` holds that
until it is ended. Locks are abstract Unix sockets (unix(7)): one name for all users, and the kernel lets go of it when its process ends,
however it ends. Such names are of a network namespace, so a file is locked beside them (flock(2)), by an allocation together with others.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.node.host import allocation
from utils.node.host.tools import die_with_parent, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "servematrix-machine"
ANOTHER = "SERVEMATRIX_MACHINE"
"""Set by tests that may run beside each other: another machine's name. `%j` in it is the number of an allocation."""
POLL_S = 0.5
FOLDER = Path("/tmp")  # noqa: S108 - of all users, whatever their TMPDIR
"""Where the file is: named alike for everybody, empty, and closed to nobody who wants to lock it."""
ALLOCATION_WAITS_S = 300.0
"""Its time is limited, and the scheduler may know why two share a core: then it goes on, says so, and gates judge."""
WAITS = "another run is measuring on this machine; this one starts when that has ended"


@dataclass(frozen=True)  # no slots: nodes may have Python 3.9
class Wanted:
    """What a run has for itself."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...] = ()
    """As the scheduler numbers them on this node."""
    whole: bool = False
    """The machine, with whatever else is in it."""

    def names(self) -> list[str]:
        """Of sockets, in one order for everybody, so that no two wait for each other."""
        name = _name()
        parts = [f"{name}-core-{core}" for core in sorted(self.cores)]
        parts += [f"{name}-gpu-{gpu}" for gpu in sorted(self.gpus)]
        return [name, *parts] if self.whole else parts


def of_allocation() -> Wanted:
    """What the scheduler gave this process: cores only where it binds to them, for else a job sees those of all others."""
    cores = tuple(os.sched_getaffinity(0))
    return Wanted(cores if len(cores) <= allocation.cores() else (), allocation.gpus())


@contextmanager
def alone_on_the_machine(tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run measures here, and keep the next one waiting.

    Args:
        tell: said once, if there is something to wait for.
    """
    with held(Wanted(tuple(os.sched_getaffinity(0)), whole=True), tell):
        yield


@contextmanager
def held(wanted: Wanted, tell: Callable[[str], None], limit_s: float | None = None) -> Iterator[bool]:
    """Wait until no other run has any of what is wanted, and keep the next one waiting.

    Args:
        wanted: cores and GPUs.
        tell: said once, if there is something to wait for.
        limit_s: how long at the most; None is for ever.

    Yields:
        Whether nobody else has it.
    """
    with _file() as file:
        locks = _Locks(wanted, file, None if limit_s is None else time.monotonic() + limit_s, tell)
        try:
            yield locks.take()
        finally:
            for one in locks.sockets:
                one.close()


@dataclass
class _Locks:
    wanted: Wanted
    file: int | None
    until_s: float | None
    tell: Callable[[str], None]
    sockets: list[socket.socket] = field(default_factory=list)
    waiting: bool = False

    def take(self) -> bool:
        """One after the other, each as soon as it is free; what is not free in time is left out."""
        free = [self._waited(partial(self._bound, name)) for name in self.wanted.names()]
        return all([*free, self._waited(partial(_locked, self.file, whole=self.wanted.whole))])

    def _waited(self, taken: Callable[[], bool]) -> bool:
        while not taken():
            if not self.waiting:
                self.tell(WAITS)
                self.waiting = True
            if self.until_s is not None and time.monotonic() >= self.until_s:
                return False
            time.sleep(POLL_S)
        return True

    def _bound(self, name: str) -> bool:
        try:
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError:  # no more files are allowed: the file that is locked must do
            return True
        if not _taken(lock, name):
            lock.close()
            return False
        self.sockets.append(lock)
        return True


def _taken(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(f"\0{name}")
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


@contextmanager
def _file() -> Iterator[int | None]:
    """An empty file that any user may lock; None where it cannot be made, where sockets alone must do."""
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


def _locked(file: int | None, *, whole: bool) -> bool:
    if file is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if whole else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _name() -> str:
    return f"{NAME}{os.environ.get(ANOTHER, '').replace('%j', allocation.job())}"


def main(ready: str) -> int:
    """Hold what an allocation has until a signal comes; a file says when its runs may begin."""
    die_with_parent(signal.SIGTERM)

    def tell(text: str) -> None:
        emit(kind="note", text=text)

    with held(of_allocation(), tell, ALLOCATION_WAITS_S) as alone:
        if not alone:
            tell(
                f"the other run has not ended after {ALLOCATION_WAITS_S:.0f} s; this one goes on beside it, and its gates say what that costs"
            )
        Path(ready).touch()
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
