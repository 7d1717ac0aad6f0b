"""Where a run leaves the pair of profiles that says why its verdict is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.node import record, record_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from utils.node.record import Record

FOLDER = "profile-pair"
"""Below a run's results."""


def traces(out: Path) -> Iterator[tuple[Record, Path]]:
    """Traces of the pairs below a results folder, each with its record; none that lies outside of its run.

    Raises:
        HarnessError: RECORD_UNREADABLE.
    """
    for path in sorted(out.glob(f"{FOLDER}/run/jobs/*/run-*/*/{record.FILE}")):
        one, run = record_file.read(path), path.parent.parent
        for name in one.traces:
            trace = run / name
            if trace.resolve().is_relative_to(run.resolve()) and trace.is_file():
                yield one, trace
