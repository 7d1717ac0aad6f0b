"""The ledger's file: one writer at a time, whole or not at all."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from utils.node import file_lock
from utils.node.files import write_whole
from utils.results.verdict import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from utils.node.record import Record


def add(path: Path, records: Sequence[Record]) -> None:
    """Add what records tell of noise, and say so; what is there already is not added twice."""
    with locked(path):
        known, new, alarms = ledger.read(path).with_records(records)
        if new:
            write_whole(path, ledger.text(known).encode())
    sys.stdout.writelines(f"alarm: {line}\n" for line in alarms)
    sys.stdout.write(f"{path}: new differences: {len(new)}, in all {len(known.differences)}\n")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One writer at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        file_lock.hold(lock, path.parent, "keep the ledger on a disk that has them: --ledger FILE")
        yield
