"""Files that are there whole or not at all, and what an error of the file system means for a run."""

from __future__ import annotations

import errno
import fnmatch
import gzip
import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix.errors import Exit
from utils.node.exceptions import RunFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.errors import HarnessError


def below(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Files below a folder in which others may work: what disappears meanwhile is passed over, and no link to a folder is followed.

    `Path.rglob` ends with an error in Python 3.11 where a folder is gone before it is looked into.

    Args:
        folder: where to begin; nothing is found below one that is not there.
        pattern: of a file's name, as a shell has it; with slashes, of the folders above it, too.
    """
    folders, _, name = pattern.rpartition("/")
    for above, _, names in os.walk(folder):
        if not folders or Path(above).relative_to(folder).match(folders):
            yield from (Path(above, one) for one in fnmatch.filter(names, name))


def write_whole(path: Path, content: bytes, *, lasting: bool = True) -> None:
    """Write a file so that it is there whole or not at all.

    Args:
        path: of the file.
        content: all of it.
        lasting: also when the machine loses its power a moment later, which takes as long as the disk does.

    Raises:
        RunFailed: STORAGE_FULL when the disk or a quota is full; nothing half-written stays.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, private = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode(path))
        Path(private).replace(path)
    except BaseException as error:
        Path(private).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise


def _mode(path: Path) -> int:
    """The mode of the file that is replaced, else what a new file gets; a private temporary one has 0600."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def is_full(error: OSError) -> bool:
    """Whether a disk, a quota or a file's limit is used up."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def storage_error(path: Path, error: OSError) -> HarnessError:
    """What an error of the file system means for a run."""
    if is_full(error):
        return RunFailed(
            Exit.STORAGE_FULL,
            f"{path.name} could not be written: {error.strerror}; records before it are whole. "
            f"Free space under {path.parent}, or give another --out",
        )
    return RunFailed(Exit.SETUP_FAILED, f"{path} could not be written: {error.strerror}")


_LEVEL = 4
"""Of gzip. Times of 2.4 million tokens take 0.2 s, and 7 % more room than at 9, which takes 5.4 s while the devices wait."""


def packed(columns: dict[str, Any]) -> tuple[bytes, str]:
    """Columns as compressed JSON, the same bytes for the same data, and their hash."""
    content = gzip.compress(json.dumps(columns, separators=(",", ":")).encode(), _LEVEL, mtime=0)
    return content, hashlib.sha256(content).hexdigest()
