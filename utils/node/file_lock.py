"""Locks of files (flock(2)), and one sentence where a file system has none: NFS without lockd, Lustre without -o flock."""

from __future__ import annotations

import errno
import fcntl
from typing import IO, TYPE_CHECKING

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from pathlib import Path

OF_STATE = "name a folder of a disk that has them with XDG_STATE_HOME"
"""The way out where launchers meet below a home."""
_NONE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


def hold(file: IO[str], folder: Path, cure: str, *, wait: bool = True) -> bool:
    """Lock a file until it is closed.

    Args:
        file: that is open.
        folder: where it is, for the sentence.
        cure: what a person can do where that has no locks.
        wait: for another holder to let go.

    Returns:
        Whether it is held; without `wait` another one may hold it.

    Raises:
        HarnessError: SETUP_FAILED on a file system without locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NONE:
            raise
        raise HarnessError(
            Exit.SETUP_FAILED, f"{folder} is on a file system without locks ({error.strerror}); {cure}"
        ) from error
    return True
