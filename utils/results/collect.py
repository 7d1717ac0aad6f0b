"""Find and read the records below folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.node import record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def collect(folders: Iterable[Path], pattern: str = record.FILE) -> list[record.Record]:
    """Every record below the folders whose path ends like the pattern, by job, then run.

    Raises:
        HarnessError: RECORD_UNREADABLE for a folder without any, or for a record that is not whole.
    """
    found = []
    for folder in folders:
        broken = {mark.parent for mark in folder.rglob(record.BROKEN)}
        below = [path for path in folder.rglob(pattern) if broken.isdisjoint(path.parents)]
        paths = sorted(below) if folder.is_dir() else [folder]
        if not paths or not folder.exists():
            raise HarnessError(
                Exit.RECORD_UNREADABLE, f"no {record.FILE} below {folder}; name the folder that a run wrote"
            )
        found += [record.read(path) for path in paths]
    return sorted(found, key=lambda one: (one.job, one.run_index, one.position))


def missing(out: Path, records: Iterable[record.Record]) -> list[str]:
    """Points of a run's plan that have no record, each with the reason that its job left."""
    there = {one.point for one in records}
    try:
        plan = json.loads((out / "plan.json").read_bytes())
    except (OSError, ValueError):
        return []
    lines = []
    for job in plan["jobs"]:
        try:
            told = json.loads((out / "jobs" / job["id"] / "failure.json").read_bytes())
            reason = f"{told['kind']}: {told['cause']} ({told['node'] or 'no node'})"
        except (OSError, ValueError, KeyError):
            reason = "its job did not come that far"
        lines += [f"{point['id']}: {reason}" for point in job["points"] if point["id"] not in there]
    return lines
