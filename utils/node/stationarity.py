"""Whether a load ran evenly: the longest silence of everybody, and throughput over the parts of its steady window.

All from the requests' own times, so that bounds come from the load itself: a server that takes long prompts is silent for long,
and that is not a stall. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.node.requests_raw import Ints, RawLoad

SEGMENTS = 10
"""Equal parts of the load, each with its longest silence; their median is what is usual here."""
BINS = 9
"""Equal parts of the steady window, three a third."""
STALL_S = 5.0
"""Beyond what is usual: always a stall."""
STALL_TIMES = 5.0
"""Times what is usual: a stall where it also takes `STALL_SHARE` of the load, and `HICCUP_S`."""
STALL_SHARE = 0.01
HICCUP_S = 0.25
HICCUP_TIMES = 2.5
"""From here on a note: honest loads on a busy processor reach 3.8 times (15 real windows of November 2026), but in milliseconds."""
UNEVEN_NOTE, UNEVEN_MOST = 0.15, 0.5
"""Differences between thirds, over their mean: honest closed loops on two H100s reach 0.31 while their first waves part.

Two of six windows on a processor that others used by two thirds reached 0.53 and 0.61: there the machine is what is wrong."""
UNEVEN_NOISE = 4.0
"""Standard errors of a third that a difference must be as well."""


@dataclass(frozen=True, slots=True)
class Silence:
    """No token to anybody, although somebody waited for one."""

    longest_s: float
    at_s: float
    """After the load's start."""
    usual_s: float
    """The median over parts of the load of each part's longest."""
    load_s: float
    """Until the last token."""

    @property
    def excess_s(self) -> float:
        """Beyond what is usual."""
        return self.longest_s - self.usual_s

    @property
    def is_stall(self) -> bool:
        """Whether the load measures a server that stood still."""
        long = self.excess_s > max(HICCUP_S, STALL_SHARE * self.load_s)
        return self.excess_s >= STALL_S or (long and self.longest_s > STALL_TIMES * self.usual_s)

    @property
    def is_hiccup(self) -> bool:
        """Whether a reader should know."""
        return self.excess_s > HICCUP_S and self.longest_s > HICCUP_TIMES * self.usual_s


@dataclass(frozen=True, slots=True)
class Course:
    """Output tokens a second in the first, second and last third of the steady window, over their mean."""

    thirds: tuple[float, float, float]
    noise: float
    """Standard error of one third, from how its parts scatter."""

    @property
    def is_uneven(self) -> bool:
        """Whether a reader should know."""
        return self.change > max(UNEVEN_NOTE, UNEVEN_NOISE * self.noise)

    @property
    def change(self) -> float:
        """The largest difference between two thirds."""
        return max(self.thirds) - min(self.thirds)


def arrivals(raw: RawLoad) -> Ints:
    """When each token came, in microseconds after the first request's start, sorted; only of requests that completed."""
    first = raw.start_us + raw.ttft_us
    times = [
        np.concatenate(([begin], begin + np.cumsum(itl)))
        for begin, itl, good in zip(first, raw.itl_us, raw.ok, strict=True)
        if good
    ]
    return np.sort(np.concatenate(times)) if times else np.array([], dtype=np.int64)


def silence(raw: RawLoad) -> Silence | None:
    """The longest silence; None for fewer than two tokens a part."""
    times = np.concatenate(([0], arrivals(raw)))
    if len(times) <= 2 * SEGMENTS:
        return None
    gaps = np.diff(times)
    part = np.minimum(times[1:] * SEGMENTS // max(1, int(times[-1])), SEGMENTS - 1)
    longest = np.zeros(SEGMENTS, dtype=np.int64)
    np.maximum.at(longest, part, gaps)
    worst = int(gaps.argmax())
    return Silence(
        float(gaps[worst]) / 1e6,
        float(times[worst]) / 1e6,
        float(np.median(longest)) / 1e6,
        float(times[-1]) / 1e6,
    )


def course(raw: RawLoad, window_s: tuple[float, float]) -> Course | None:
    """Throughput over a window; None where it has too few tokens to say."""
    begin, end = (1e6 * edge for edge in window_s)
    counts, _ = np.histogram(arrivals(raw), bins=BINS, range=(begin, end))
    if counts.sum() < BINS * BINS:
        return None
    rates = counts / counts.mean()
    thirds = rates.reshape(3, -1).mean(axis=1)
    within = float((rates.reshape(3, -1) - thirds[:, None]).std(ddof=3))
    return Course((float(thirds[0]), float(thirds[1]), float(thirds[2])), within / (BINS / 3) ** 0.5)
