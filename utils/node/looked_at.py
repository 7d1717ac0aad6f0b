"""All that gates look at: a load, what was asked for, and what was seen beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from utils.node import side_by_side, stationarity
from utils.node.completion import Streamed

if TYPE_CHECKING:
    import numpy as np

    from matrix.plan import KernelChoice
    from utils.node.kernel_counts import Marker
    from utils.node.record import Counters, Load, Power, ServerWindow, Telemetry
    from utils.node.requests_raw import Ints, RawLoad


@dataclass(frozen=True)  # no slots: what several gates look at is made once
class Evidence:
    """All that gates look at."""

    raw: RawLoad
    load: Load
    drawn_input: np.ndarray
    """What the seed asked for, request by request."""
    drawn_output: np.ndarray
    chat: bool
    """The server's chat template adds tokens to each prompt."""
    speculative: bool
    """Several tokens may come in one streamed answer."""
    counters: Counters
    telemetry: Telemetry
    call_s: tuple[float, float]
    """When the client's process began and ended, on the node's own clock."""
    server_alive: bool
    log_of_load: str
    """The server's log between the load's start and end."""
    log_of_point: str = ""
    """The same from the warm-up's start on."""
    log_unread: int = 0
    """Bytes of it that were too many to look at."""
    streamed: Streamed = field(default_factory=lambda: Streamed([1], 1))
    """A completion that the node read itself, answer by answer."""
    engine_changes: tuple[str, ...] = ()
    """Why the engine is not the one that it was when the server was ready."""
    kernel: KernelChoice | None = None
    """What the point asks for."""
    workers: int = 1
    """Of the server."""
    marker: tuple[Marker, ...] = ()
    """What the kernel's workers counted over the load."""
    foreign_most: float = 1.0
    """Share of the pinned cores that others may use."""
    steady_s: tuple[float, float] | None = None
    """Begin and end of the steady window, after the first request's start; None where there is none."""
    compiled: tuple[str, ...] = ()
    """Files that came into the server's compile caches over the load, whoever made them."""
    power: Power | None = None
    """What the devices did over the load, where a meter ran."""
    warm_failed: int = 0
    """Requests of the warm-up that did not complete."""
    server: ServerWindow | None = None
    """What the server's own metrics say of the load."""

    @cached_property
    def _came(self) -> Ints:
        return stationarity.arrivals(self.raw)

    @cached_property
    def quiet(self) -> stationarity.Silence | None:
        """The longest silence; None where there are too few tokens to say."""
        return stationarity.silence(self.raw, self._came)

    @cached_property
    def course(self) -> stationarity.Course | None:
        """Throughput over the steady window; None where there is none to say it of."""
        return stationarity.course(self.raw, self._came, self.steady_s) if self.steady_s else None

    @cached_property
    def pace(self) -> side_by_side.Pace:
        """At what pace answers came."""
        return side_by_side.of(self.raw, self._came, chat=self.chat)
