"""At what pace answers come: of one request beside the others, and several at one moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.node.requests_raw import Ints, RawLoad

ROW_LEAST = 8
"""Later answers that a request needs, and requests that a load needs, to say so."""
BESIDE_LEAST = 0.5
"""Of a request's time: so much of one other request lies beside it on average, or there is nothing to compare it with."""
ANOTHER_TIMES = 2.0
"""A step of an engine gives each running request one answer. In 76 real windows no request was below 0.87 or above 1.26 times
the others' pace, on a crowded processor too."""
ANOTHER_NOTE, ANOTHER_MOST = 0.01, 0.05
"""Share of requests at another pace. Simulated loads of long prompts and 16 tokens reach 0.75 %."""
TOGETHER_US = 250
"""Answers so close are read from one packet: no engine makes 4000 tokens a second for one request."""
TOGETHER_TIMES = 0.1
"""Of the mean time that an answer takes, as well."""
TOGETHER_NOTE, TOGETHER_MOST = 0.05, 0.3
"""Share of later answers. 76 honest windows have 0.4 % at the most; a client that waits for its core reached 16 %."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Requests, each compared with those that ran at the same time."""

    rows: int
    """That could be compared."""
    fast: int
    slow: int
    least: float
    most: float
    """Of the others' pace."""

    @property
    def share(self) -> float:
        """Of requests at another pace."""
        return (self.fast + self.slow) / self.rows

    @property
    def words(self) -> str:
        """What was found."""
        return (
            f"{self.fast} of {self.rows} requests over {ANOTHER_TIMES:g} times as fast as those beside them, "
            f"{self.slow} as slow; {self.least:.2f} to {self.most:.2f} times their pace"
        )


def beside(raw: RawLoad, came: Ints) -> Beside | None:
    """Each request's pace after its first answer, over the mean of the others' in the same time; None where too few can be compared.

    Args:
        raw: the load.
        came: when each answer came, sorted (`stationarity.arrivals`).
    """
    first, end = raw.first_us(), raw.end_us
    span = end - first
    own = np.array([len(row) for row in raw.itl_us], dtype=np.int64)
    answers = _within(came, first, end) - _within(np.sort(first[raw.ok]), first, end)
    others_us = _request_time(first, end) - span
    rows = raw.ok & (own >= ROW_LEAST) & (span > 0) & (others_us >= BESIDE_LEAST * span)
    if int(rows.sum()) < ROW_LEAST:
        return None
    others = np.maximum(answers[rows] - own[rows], 0.5) / others_us[rows]
    pace = own[rows] / span[rows] / others
    return Beside(
        int(rows.sum()),
        int((pace > ANOTHER_TIMES).sum()),
        int((pace < 1 / ANOTHER_TIMES).sum()),
        float(pace.min()),
        float(pace.max()),
    )


def _within(times: Ints, first: Ints, end: Ints) -> Ints:
    """How many of the sorted times are after a request's first answer and not after its last."""
    return np.searchsorted(times, end, side="right") - np.searchsorted(times, first, side="right")


def _request_time(first: Ints, end: Ints) -> np.ndarray:
    """For each request, the time that all requests together got answers within its own."""
    begins, ends = np.sort(first), np.sort(end)
    edges = np.sort(np.concatenate((first, end)))
    running = np.searchsorted(begins, edges, side="right") - np.searchsorted(ends, edges, side="right")
    sums = np.concatenate(([0.0], np.cumsum(running[:-1] * np.diff(edges), dtype=float)))
    found: np.ndarray = np.interp(end, edges, sums) - np.interp(first, edges, sums)
    return found


@dataclass(frozen=True, slots=True)
class Pace:
    """All of it."""

    beside: Beside | None
    together: float


def of(raw: RawLoad, came: Ints, *, chat: bool) -> Pace:
    """Of a load whose answers came at `came`, sorted."""
    return Pace(beside(raw, came), together(raw, chat=chat))


def together(raw: RawLoad, *, chat: bool) -> float:
    """Share of later answers that came at one moment with the one before; of chats the first one has a role before it."""
    gaps = np.concatenate([np.array([], dtype=np.int64), *(row[int(chat) :] for row in raw.itl_us)])
    if len(gaps) < ROW_LEAST:
        return 0.0
    each = raw.latency_us.sum() / (len(gaps) + len(raw.latency_us))
    return float((gaps < min(TOGETHER_US, TOGETHER_TIMES * each)).mean())
