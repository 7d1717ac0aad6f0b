"""How long starts and points took, from the records that lie around."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matrix.estimate import History
from matrix.key import server
from utils.node import record
from utils.node.files import below

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START = frozenset({"server", "first completion"})
BEFORE = START | {"preflight", "stop"}


def history(folders: Iterable[Path]) -> History:
    """The longest start of each server command and the longest measurement of each key, and the newest of each point.

    Only figures of measured points count. A record that cannot be read is no reason to refuse a plan, and is passed over.
    """
    starts: dict[str, float] = {}
    points: dict[str, float] = {}
    older: dict[str, tuple[float, float]] = {}
    for folder in folders:
        for path in below(folder, record.FILE):
            try:
                found = json.loads(path.read_bytes())
                if found["status"] != "measured":
                    continue
                phases = {str(phase["name"]): float(phase["duration_s"]) for phase in found["phases"]}
                which = server(found["parts"])
                start = sum(seconds for name, seconds in phases.items() if name in START)
                point = sum(seconds for name, seconds in phases.items() if name not in BEFORE)
                starts[which] = max(start, starts.get(which, 0.0))
                points[found["key"]] = max(point, points.get(found["key"], 0.0))
                at = float(found["clock"]["wall_unix_s"])
                older[found["point"]] = max((at, point), older.get(found["point"], (0.0, 0.0)))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
    return History(starts, points, {name: seconds for name, (_, seconds) in older.items()})
