"""Find and read the records below folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.node import record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def collect(folders: Iterable[Path]) -> list[record.Record]:
    """Every record below the folders, by point, then run.

    Raises:
        HarnessError: RECORD_UNREADABLE for a folder without any, or for a record that is not whole.
    """
    found = []
    for folder in folders:
        paths = sorted(folder.rglob(record.FILE)) if folder.is_dir() else [folder]
        if not paths:
            raise HarnessError(
                Exit.RECORD_UNREADABLE, f"no {record.FILE} below {folder}; name the folder that a run wrote"
            )
        found += [record.read(path) for path in paths]
    return sorted(found, key=lambda one: (one.job, one.run_index, one.position))
