"""One sweep at a time on a cluster, between the runners of one user: a lock that jobs of a sweep share and other sweeps wait for."""

from __future__ import annotations

import contextlib
import fcntl
import random
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_S = 5.0


@contextlib.contextmanager
def held(
    folder: Path,
    cluster: str,
    sweep: str,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold a cluster for a sweep; whoever holds it and is killed lets go of it.

    Args:
        folder: where launchers of this user meet.
        cluster: its name.
        sweep: who this is; jobs of one sweep hold the cluster together.
        tell: is told once who is waited for.
        sleep: to wait with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = ""
    with (folder / f"{cluster}.turn").open("a+") as file:
        while holder := _other(file, sweep):
            if holder != told:
                tell(f"{cluster} is running on {holder}; waiting for it")
                told = holder
            sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - so that two that wait do not always meet
        yield


def _other(file: IO[str], sweep: str) -> str:
    """Who else holds the cluster; empty if we do now.

    flock(2) gives a lock up before it takes one of another kind, so that a name counts only once it is read under the shared lock.
    """
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _read(file) == sweep:
                return ""
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_UN)
            return _read(file) or "another sweep"
        file.truncate(0)
        file.write(sweep)
        file.flush()


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
