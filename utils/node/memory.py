"""Whether the kernel ended something for want of memory, by its own count of that."""

from __future__ import annotations

import re
from pathlib import Path

from matrix.errors import Exit
from utils.node.exceptions import RunFailed

ENDS = frozenset({Exit.SERVER_EXITED, Exit.SERVER_UNHEALTHY, Exit.SERVER_DIED, Exit.CLIENT_FAILED})
"""Failures in which a process is gone, that this explains."""


def kills(vmstat: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes the kernel has ended for want of memory, of the machine or of a cgroup (oom_kill of /proc/vmstat, Linux 4.13)."""
    try:
        found = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def told(before: int | None, now: int | None) -> str:
    """What the count says of a while; empty where nothing was ended, or nobody knows."""
    if before is None or now is None or now <= before:
        return ""
    many = "a process" if now - before == 1 else f"{now - before} processes"
    return (
        f"meanwhile the kernel ended {many} because memory ran out (`dmesg` names them): "
        "give the job more memory, or let the server take less"
    )


def blamed(error: RunFailed, before: int | None, now: int | None = None) -> RunFailed:
    """An error with its cause, where that was want of memory.

    Args:
        error: of a point or a run.
        before: the count when it began.
        now: the count now; asked for where it is not given.
    """
    why = told(before, kills() if now is None else now) if error.exit_code in ENDS else ""
    return RunFailed(Exit.OUT_OF_MEMORY, f"{error.message}; {why}", error.evidence) if why else error
