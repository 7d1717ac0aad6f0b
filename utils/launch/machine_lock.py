"""One run at a time on a machine: two that measure at once would measure each other.

The lock is an abstract Unix socket (unix(7)): one name for all users of the machine, and the kernel lets go of it when its process ends,
however it ends.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "servematrix-machine"
ANOTHER = "SERVEMATRIX_MACHINE"
"""Set by tests that may run beside each other: another machine's name."""
POLL_S = 0.5


@contextmanager
def alone_on_the_machine(tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other run measures here, and keep the next one waiting.

    Args:
        tell: said once, if there is something to wait for.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        waiting = False
        while not _taken(lock):
            if not waiting:
                tell("another run is measuring on this machine; this one starts when that has ended")
                waiting = True
            time.sleep(POLL_S)
        yield


def _taken(lock: socket.socket) -> bool:
    try:
        lock.bind(f"\0{NAME}{os.environ.get(ANOTHER, '')}")
    except OSError:
        return False
    return True
