"""Samples beside the load: the client's processor time and the server's memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from utils.node import process
from utils.node.record import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 0.2


@dataclass(slots=True)
class Sampler:
    """Collects (monotonic seconds, value) pairs, at most one a fifth of a second."""

    rss_bytes: Callable[[], int]
    """The server's memory now."""
    client_cpu: list[tuple[float, float]] = field(default_factory=list)
    server_rss: int = 0
    _last: float = 0.0

    def take(self, client_pid: int) -> None:
        """Sample if it is time to."""
        now = time.monotonic()
        if now - self._last < EVERY_S:
            return
        self._last = now
        if used := process.cpu_seconds(client_pid):
            self.client_cpu.append((now, used))
        self.server_rss = max(self.server_rss, self.rss_bytes())

    def over(self, start_s: float, end_s: float, whole_call_s: float) -> Telemetry:
        """What was used in a window of the monotonic clock; between samples it is interpolated.

        Where samples do not reach over the window, the processor seconds of the whole call stand for it: too many, never too few.
        """
        used = whole_call_s
        if len(self.client_cpu) > 1 and end_s > start_s:
            times, values = zip(*self.client_cpu, strict=True)
            if times[0] <= start_s and end_s - times[-1] <= 5 * EVERY_S:
                at_start = np.interp(start_s, times, values)
                used = float(values[-1] - at_start)
        share = used / (end_s - start_s) if end_s > start_s else 0.0
        return Telemetry(client_cpu_s=used, client_cpu_share=share, server_rss_peak_bytes=self.server_rss)
