"""How many requests each point has in an allocation: the first run decides, for the prompts follow from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matrix.protocol import fits
from utils.node import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matrix.plan import Point


class Agreed:
    """A file that the runs of a job hand on."""

    def __init__(self, path: Path, points: Sequence[Point]) -> None:
        """Of a job's folder, with the points that it may be about."""
        self._path = path
        self._points = {point.id: point for point in points}

    def of(self, point: Point) -> int | None:
        """A point's number of requests, where an earlier run has fixed it."""
        return self._read().get(point.id)

    def note(self, point: Point, requests: int) -> None:
        """Fix it for the runs after this one, which end with the machine: nobody waits for the disk."""
        known = self._read()
        if known.get(point.id) != requests:
            files.write_whole(self._path, json.dumps(known | {point.id: requests}).encode(), lasting=False)

    def _read(self) -> dict[str, int]:
        try:
            said = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):  # there is none yet, or a guest wrote it
            return {}
        return {
            name: count
            for name, count in (said.items() if isinstance(said, dict) else ())
            if name in self._points
            and fits(self._points[name].protocol, self._points[name].concurrency, count)
        }
