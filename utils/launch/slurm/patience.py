"""How long a job is waited for that does not get on: bounds of the cluster file, so that nothing is waited for without an end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matrix.cluster import Limits
    from utils.launch.slurm.states import JobState


@dataclass(slots=True)
class Patience:
    """With one job: since when it waits, and since when nothing can come of it (monotonic; None: it does not)."""

    waits_s: float | None = None
    stuck_s: float | None = None

    def over(self, state: JobState, limits: Limits, *, shut: str, most_s: float) -> str:
        """Why the job is waited for no longer, in a sentence; empty while it is.

        Args:
            state: what Slurm says of it now.
            limits: of the cluster file.
            shut: why no job can start in its partition, if none can.
            most_s: what a job in an unknown state may take besides: its time limit, where its script has begun.
        """
        now = time.monotonic()
        self.waits_s = _since(self.waits_s, now, state.waiting)
        completing = state.state == "COMPLETING"  # its processes do not end, or the epilog does not
        stuck = bool(shut and state.waiting) or state.unknown or completing
        self.stuck_s = _since(self.stuck_s, now, stuck)
        if self.stuck_s is not None and now - self.stuck_s > limits.stuck_s + (
            most_s if state.unknown else 0
        ):
            whose = "" if completing else ", which servematrix does not know,"
            word = f"Slurm's state {state.state or 'without a name'}{whose} did not end"
            return f"{shut or word}; it was waited for {now - self.stuck_s:.0f} s (limits.stuck_s)"
        if self.waits_s is not None and limits.queue_s and now - self.waits_s > limits.queue_s:
            reason = f"{state.state} {state.reason}".strip()
            return f"no node was free for {now - self.waits_s:.0f} s, with {reason} (limits.queue_s)"
        return ""


def _since(before: float | None, now: float, still: bool) -> float | None:  # noqa: FBT001 - what it is about
    return (now if before is None else before) if still else None
