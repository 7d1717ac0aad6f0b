"""What a run left beside its record: the end of its server's log, and profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from matrix.secrets import redacted
from utils.node.packed import unpacked
from utils.profile import pair
from utils.show.log import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Paired = dict[tuple[str, str, str], list[str]]
"""Results folder, point and arm -> traces."""

LINES = 40
MOST = 64_000_000
"""Bytes of a log that is read, unpacked."""
PROFILES = ("*.pt.trace.json*", "profile*.json", "*profiler_out*.txt")


def log_tail(folder: Path) -> tuple[str, list[str]]:
    """Name and last lines of the server's log, of the record's folder or one of the two above it; empty where there is none."""
    for place in (folder, folder.parent, folder.parent.parent):
        for name in ("server.log", "server.log.gz"):
            path = place / name
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST:
                    continue
                content = path.read_bytes()
                content = unpacked(content, MOST) if name.endswith(".gz") else content
            except (OSError, ValueError):
                continue
            lines = content.decode(errors="replace").splitlines()[-LINES:]
            return name, [clean(redacted(line))[:500] for line in lines]
    return "", []


def profiles(folder: Path, named: Sequence[str] = ()) -> list[str]:
    """Traces of a point, as paths that `servematrix profile` takes.

    Args:
        folder: of the record; what lies beside it counts.
        named: the record's own traces, relative to its run's folder.
    """
    run = folder.parent
    there = [run / name for name in named if (run / name).resolve().is_relative_to(run.resolve())]
    there += [path for pattern in PROFILES for path in folder.glob(pattern)]
    return sorted({str(path) for path in there if path.is_file() and not path.is_symlink()})


def paired(folders: Iterable[Path]) -> Paired:
    """Traces of the pairs that were profiled after a verdict: beside the jobs of the results in which the records lie.

    Args:
        folders: of records.
    """
    found: Paired = {}
    for out in {_results(folder) for folder in folders}:
        try:
            for one, trace in pair.traces(out):
                if not trace.is_symlink():
                    found.setdefault((str(out), one.point, one.arm), []).append(str(trace))
        except HarnessError:  # the page is of the records; a pair that cannot be read is none of its
            continue
    return found


def of_pair(known: Paired, folder: Path, point: str, arm: str) -> list[str]:
    """Those of one record."""
    return known.get((str(_results(folder)), point, arm), [])


def _results(folder: Path) -> Path:
    """RESULTS of RESULTS/jobs/JOB/RUN/POINT."""
    return folder.parent.parent.parent.parent
