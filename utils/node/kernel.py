"""Stages a patched kernel for the server. This version has none to stage; the seam is where an issue will put it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.node.failure import RunFailed

if TYPE_CHECKING:
    from matrix.plan import Job


def stage(job: Job) -> dict[str, str]:
    """Environment that makes the server load the kernel that the job's points ask for; empty where they ask for none.

    Raises:
        RunFailed: PREFLIGHT_FAILED for a kernel, because measuring without it would be a lie.
    """
    asked = {point.kernel.name for point in job.points if point.kernel}
    if asked:
        raise RunFailed(
            Exit.PREFLIGHT_FAILED,
            f"this version of servematrix cannot stage kernels, and the job asks for {', '.join(asked)}",
        )
    return {}
