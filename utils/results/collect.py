"""Find and read the records below folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matrix.errors import WORTH_ANOTHER_TRY, Exit, HarnessError
from matrix.schema import Value
from utils.node import record, record_file
from utils.node.files import below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


FEW = 4000
"""Records below folders of one call that are kept whole: some 60 KB each, and making them smaller takes as long as reading them."""


def _whole(one: record.Record) -> record.Record:
    return one


def collect(
    folders: Iterable[Path],
    pattern: str = record.FILE,
    keep: Callable[[record.Record], record.Record] = _whole,
) -> list[record.Record]:
    """Every record below the folders whose path ends like the pattern, by job, then run.

    Args:
        folders: results, or records themselves.
        pattern: of a record's path.
        keep: makes of each record, as soon as it is read, what is kept of it; asked where there are more than `FEW`.

    Raises:
        HarnessError: RECORD_UNREADABLE where there is none at all, for a folder that is not there, or for a record that is not whole.
    """
    return [one for one, _ in placed(folders, pattern, keep)]


def without(folders: Iterable[Path]) -> list[Path]:
    """Folders that hold no record, as of a run that ended before it began: the others are shown all the same."""
    return [one for one in folders if one.is_dir() and next(below(one, record.FILE), None) is None]


def placed(
    folders: Iterable[Path],
    pattern: str = record.FILE,
    keep: Callable[[record.Record], record.Record] = _whole,
) -> list[tuple[record.Record, Path]]:
    """The same, each record with the folder that it is in.

    Raises:
        HarnessError: RECORD_UNREADABLE.
    """
    folders = list(folders)
    found: list[Path] = []
    for folder in folders:
        broken = {mark.parent for mark in below(folder, record.BROKEN)}
        here = [path for path in below(folder, pattern) if broken.isdisjoint(path.parents)]
        if not folder.exists():
            raise HarnessError(
                Exit.RECORD_UNREADABLE, f"{folder} is not there; name the folder that a run wrote"
            )
        found += sorted(here) if folder.is_dir() else [folder]
    if folders and not found:
        names = ", ".join(map(str, folders))
        raise HarnessError(
            Exit.RECORD_UNREADABLE, f"no {record.FILE} below {names}; name the folder that a run wrote"
        )
    kept = _whole if len(found) <= FEW else keep
    read = [(kept(record_file.read(path)), path.parent) for path in found]
    return sorted(read, key=lambda one: (one[0].job, one[0].run_index, one[0].position))


class Missing(Value):
    """A point of a plan without a record, or without figures."""

    point: str
    why: str
    retry: bool
    """Whether measuring it again is worth it: what ended it says nothing about the benchmark."""

    def __str__(self) -> str:
        return f"{self.point}: {self.why}"


def missing(out: Path, records: Iterable[record.Record]) -> list[Missing]:
    """Points of a run's plan that have no record, each with the reason that its job left."""
    there = {one.point for one in records}
    try:
        plan = json.loads((out / "plan.json").read_bytes())
    except (OSError, ValueError):
        return []
    found = []
    for job in plan["jobs"]:
        why, retry = _end(out / "jobs" / job["id"] / "failure.json")
        found += [
            Missing(point=point["id"], why=why, retry=retry)
            for point in job["points"]
            if point["id"] not in there
        ]
    return found


def _end(path: Path) -> tuple[str, bool]:
    """What ended a job, and whether it is worth another try; a job that left nothing of the kind never came that far."""
    try:
        left = json.loads(path.read_bytes())
        return f"{left['kind']}: {left['cause']} ({left['node'] or 'no node'})", left["exit"] in _AGAIN
    except (OSError, ValueError, KeyError, TypeError):
        return "its job did not get to it", True


_AGAIN = {int(code) for code in WORTH_ANOTHER_TRY}
