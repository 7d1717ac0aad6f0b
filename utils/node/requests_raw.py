"""The raw load: one row a request, in integer microseconds; generated text is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

LONGEST_US = 10**13
"""Four months: no time and no number of a load is larger."""
MOST_TOKENS = 10**8
"""Of one request."""


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

    def first_us(self) -> Ints:
        """When each request's first streamed answer came."""
        return self.start_us + self.ttft_us

    def later_us(self) -> tuple[Ints, Ints]:
        """When every later one came, row after row, and whose it is; at once for all rows, which may be thousands."""
        counts = np.array([len(row) for row in self.itl_us], dtype=np.int64)
        gaps = np.concatenate([np.array([], dtype=np.int64), *self.itl_us])
        sums = np.concatenate(([0], np.cumsum(gaps)))
        of = np.repeat(np.arange(len(counts)), counts)
        return (self.first_us() - sums[np.cumsum(counts) - counts])[of] + sums[1:], of

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
            "client": {
                "first_start_s": self.first_start_s,
                "duration_s": self.duration_s,
                "completed": self.completed,
                "failed": self.failed,
                "reported": self.reported,
                "derived": list(self.derived),
            },
        }

    def itl_columns(self) -> dict[str, Any]:
        """For the large file: the time between streamed answers, request by request."""
        return {"unit": "us", "itl_us": [row.tolist() for row in self.itl_us]}

    @classmethod
    def of_columns(cls, rows: dict[str, Any], itls: dict[str, Any]) -> RawLoad:
        """What `request_columns` and `itl_columns` made, read again; every value is checked, for a guest may have written it.

        Raises:
            ValueError: for columns of other lengths, times that cannot be, sums that are not those of their rows; KeyError and
                TypeError for what is missing or of another kind.
        """
        start = _column(rows["start_us"], LONGEST_US)
        n = len(start)
        errors = [""] * n
        for place, text in rows["errors"].items():
            errors[int(place)] = str(text)
        client = rows["client"]
        raw = cls(
            start_us=start,
            ttft_us=_column(rows["ttft_us"], LONGEST_US, n),
            latency_us=_column(rows["latency_us"], LONGEST_US, n),
            input_len=_column(rows["input_len"], MOST_TOKENS, n),
            output_len=_column(rows["output_len"], MOST_TOKENS, n),
            itl_us=[_column(row, LONGEST_US) for row in itls["itl_us"]],
            errors=errors,
            first_start_s=_number(client["first_start_s"]),
            duration_s=_number(client["duration_s"]),
            completed=int(client["completed"]),
            failed=int(client["failed"]),
            reported={str(name): _number(value) for name, value in client["reported"].items()},
            derived=tuple(str(name) for name in client["derived"]),
        )
        chunks, sums = [len(row) + 1 for row in raw.itl_us], [int(row.sum()) for row in raw.itl_us]
        if n == 0 or raw.duration_s <= 0:
            raise ValueError("it has no requests, or lasts no time")
        if (rows["chunks"], rows["itl_sum_us"]) != (chunks, sums):
            raise ValueError("chunks and itl_sum_us are not those of the times between tokens")
        return raw


def _column(values: Any, most: int, length: int | None = None) -> Ints:  # noqa: ANN401 - of a file
    found = np.array(values)
    if found.ndim != 1 or (length is not None and len(found) != length):
        raise ValueError("a column has another length, or is none")
    if len(found) and (found.dtype.kind != "i" or found.min() < 0 or found.max() > most):
        raise ValueError("a column has values that are no counts, negative, or too large")
    return found.astype(np.int64)


def _number(value: Any) -> float:  # noqa: ANN401 - of a file
    number = float(value)
    if isinstance(value, bool | str) or not 0 <= number < LONGEST_US:
        raise ValueError(f"{str(value)[:40]!r} is no number, negative, or too large")
    return number
