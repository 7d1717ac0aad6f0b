"""What an attempt's end leaves as evidence: what Slurm said, what the batch script said, and the last lines of every log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from utils.launch import failures
from utils.launch.slurm import submission
from utils.launch.slurm.receive import Staged
from utils.node.spec import STARTED

if TYPE_CHECKING:
    from pathlib import Path

    from utils.launch.slurm.tracking import Tracking

LOG_BYTES = 1_000_000
"""Of a log's end that are looked at."""
OUR_LOGS = ("payload.log", "preflight.log", "image.log")


def facts(track: Tracking, *, cancelled_by_us: bool) -> failures.Facts:
    """Everything that a verdict on the attempt needs."""
    results, state = track.attempt.results, track.state
    slurm_logs = [results.parent / f"{results.name}.slurm.log", results / "slurm.log"]
    logs = [*sorted(results.glob("*.srun.log")), *sorted(results.glob("*.load.log"))]
    logs += [results / name for name in OUR_LOGS]
    by_slurm = tuple(line for path in slurm_logs for line in _lines(path))
    known = track.attempt.order.known_images
    image_known = known is None or known.issuperset(submission.images(track.attempt))
    by_guest = [path for path in logs if path.name.endswith((".srun.log", ".load.log")) or not image_known]
    started = sorted(results.glob(f"*/{STARTED}"))  # canaries first
    return failures.Facts(
        state=state.state if state else "",
        exit_code=state.exit_code if state else "",
        reason=state.reason if state else "",
        by=state.by if state else "",
        node=track.node,
        node_reason=track.closed.reason if track.closed else "",
        begun=track.begun,
        ended=track.ended,
        asked=track.asked > 0,
        runs_ended=track.runs_ended >= track.asked,
        started=track.asked > 0 and len(started) >= track.asked,
        some_started=bool(started),
        preflight=tuple(track.failed_checks),
        node_at_fault=track.node_at_fault,
        shared=track.attempt.shared,
        inside=_inside(started[-1].parent) if started else (),
        all_here=track.attempt.shared or (isinstance(track.source, Staged) and track.source.complete),
        slurm_lines=by_slurm,
        lines=by_slurm + tuple(line for path in logs for line in _lines(path)),
        foreign=known is not None,
        image_known=image_known,
        guest_lines=tuple(line for path in by_guest for line in _lines(path)),
        cancelled_by_us=cancelled_by_us,
        gave_up=track.gave_up,
    )


def _inside(run: Path) -> tuple[str, ...]:
    """The last words of a run's programs, or of its server's container, where that is another one."""
    return tuple((_lines(run / "stderr.log") or _lines(run.with_name(f"{run.name}.server.log")))[-3:])


def _lines(path: Path) -> list[str]:
    """The last lines of a log; none of one that is a link, which a container may have put there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        with os.fdopen(handle, "rb") as file:
            file.seek(max(0, os.fstat(handle).st_size - LOG_BYTES))
            return (file.read(LOG_BYTES) or b"").decode(errors="replace").splitlines()[-200:]
    except (OSError, ValueError):  # no file at all
        return []
