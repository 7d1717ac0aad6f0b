"""The raw load: one row a request, in integer microseconds; generated text is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RawLoad:
    """What the client measured; columns have one value a request, in the order of the draw."""

    start_us: Ints
    """After the first request's start."""
    ttft_us: Ints
    latency_us: Ints
    input_len: Ints
    output_len: Ints
    itl_us: list[Ints]
    errors: list[str]
    """Empty text for a request that completed."""
    first_start_s: float
    """Monotonic clock."""
    duration_s: float
    """As the client says."""
    completed: int
    failed: int
    reported: dict[str, float]
    """The client's own totals and means, to compare with ours; what its version does not report is not there."""
    derived: tuple[str, ...] = ()
    """Columns that the client does not report, made from those that it does."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which requests completed."""
        return np.array([not error for error in self.errors], dtype=bool)

    @property
    def end_us(self) -> Ints:
        """When each request's last token came."""
        return self.start_us + self.latency_us

    def request_columns(self) -> dict[str, Any]:
        """For the small file: everything but the single tokens."""
        return {
            "unit": "us",
            "start_us": self.start_us.tolist(),
            "ttft_us": self.ttft_us.tolist(),
            "latency_us": self.latency_us.tolist(),
            "input_len": self.input_len.tolist(),
            "output_len": self.output_len.tolist(),
            "chunks": [len(row) + 1 for row in self.itl_us],
            "itl_sum_us": [int(row.sum()) for row in self.itl_us],
            "errors": {str(i): error[-500:] for i, error in enumerate(self.errors) if error},
        }

    def itl_columns(self) -> dict[str, Any]:
        """For the large file: the time between streamed answers, request by request."""
        return {"unit": "us", "itl_us": [row.tolist() for row in self.itl_us]}
