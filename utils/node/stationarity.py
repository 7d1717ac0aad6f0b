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
BRIEF_S = 0.05
"""Stalls so short count together: 76 real windows have none that is `STALL_TIMES` as long as usual, 720 simulated ones 2.6 % at the most."""
BRIEF_NOTE = 0.05
"""Share of the load in all of them, from which on it is a note; `LOST_MOST` is wrong."""
HICCUP_TIMES = 2.5
"""From here on a note: honest loads on a busy processor reach 3.8 times (15 real windows of November 2026), but in milliseconds."""
LOST_NOTE, LOST_MOST = 0.02, 0.1
"""Share of the load that went into stalls of more than `HICCUP_S`, however many: where each part has one, they are usual in it."""
LATE_NOTE, LATE_MOST = 0.03, 0.1
"""Share of the load that its first wave took longer than tokens took afterwards.

Honest first waves take no longer (0.70 to 0.87 times as long in 12 windows on H100s), since few prompts come between their tokens."""
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
    worst_s: float = 0.0
    """The longest stall, beyond what a token takes here or, where somebody waits for a first one, a prompt."""
    lost_s: float = 0.0
    """In all stalls."""
    brief_s: float = 0.0
    """The same with those of `BRIEF_S` and more."""

    @property
    def excess_s(self) -> float:
        """Beyond what is usual."""
        return self.longest_s - self.usual_s

    @property
    def is_stall(self) -> bool:
        """Whether the load measures a server that stood still."""
        long = self.excess_s > max(HICCUP_S, STALL_SHARE * self.load_s)
        one = max(self.excess_s, self.worst_s) >= STALL_S or (
            long and self.longest_s > STALL_TIMES * self.usual_s
        )
        return one or self.lost_s > LOST_MOST * self.load_s

    @property
    def brief_share(self) -> float:
        """Of the load, in stalls however short."""
        return self.brief_s / max(self.load_s, 1e-9)

    @property
    def is_hiccup(self) -> bool:
        """Whether a reader should know."""
        one = self.excess_s > HICCUP_S and self.longest_s > HICCUP_TIMES * self.usual_s
        return one or self.lost_s > LOST_NOTE * self.load_s

    @property
    def words(self) -> str:
        """What was found."""
        text = (
            f"{self.longest_s:.3f} s without a token at {self.at_s:.1f} s, {self.usual_s:.3f} s is usual here"
        )
        return f"{text}; {self.lost_s:.1f} of {self.load_s:.1f} s in stalls" if self.lost_s else text


@dataclass(frozen=True, slots=True)
class Course:
    """Output tokens a second in the first, second and last third of the steady window, over their mean."""

    thirds: tuple[float, float, float]
    noise: float
    """Standard error of one third, from how its parts scatter."""
    late_share: float = 0.0
    """Of the load: how much longer its first wave took than its tokens would have later."""

    @property
    def is_uneven(self) -> bool:
        """Whether a reader should know."""
        return self.change > max(UNEVEN_NOTE, UNEVEN_NOISE * self.noise) or self.late_share > LATE_NOTE

    @property
    def is_wrong(self) -> bool:
        """Whether figures are of more than one speed."""
        return self.change > UNEVEN_MOST or self.late_share > LATE_MOST

    @property
    def words(self) -> str:
        """What was found."""
        thirds = ", ".join(f"{third:.2f}" for third in self.thirds)
        late = f"; a slow first wave took {100 * self.late_share:.0f} % of the load"
        return f"thirds at {thirds} of their mean{late if self.late_share > LATE_NOTE else ''}"

    @property
    def change(self) -> float:
        """The largest difference between two thirds."""
        return max(self.thirds) - min(self.thirds)


def arrivals(raw: RawLoad) -> Ints:
    """When each token came, in microseconds after the first request's start, sorted; only of requests that completed."""
    ok = raw.ok
    later, of = raw.later_us()
    return np.sort(np.concatenate((raw.first_us()[ok], later[ok[of]])))


def silence(raw: RawLoad, came: Ints) -> Silence | None:
    """The longest silence among `arrivals`; None for fewer than two tokens a part."""
    times = np.concatenate(([0], came))
    if len(times) <= 2 * SEGMENTS:
        return None
    gaps = np.diff(times)
    part = np.minimum(times[1:] * SEGMENTS // max(1, int(times[-1])), SEGMENTS - 1)
    longest = np.zeros(SEGMENTS, dtype=np.int64)
    np.maximum.at(longest, part, gaps)
    worst = int(gaps.argmax())
    beyond, brief = (_stalls(raw, times, gaps, least) / 1e6 for least in (HICCUP_S, BRIEF_S))
    return Silence(
        float(gaps[worst]) / 1e6,
        float(times[worst]) / 1e6,
        float(np.median(longest)) / 1e6,
        float(times[-1]) / 1e6,
        float(beyond.max(initial=0.0)),
        float(beyond.sum()),
        float(brief.sum()),
    )


def _stalls(raw: RawLoad, times: Ints, gaps: Ints, least_s: float) -> Ints:
    """Microseconds of each stall beyond what is usual in its place, after the first wave's prompts, if it is so long at least.

    Where nobody waits for a first token, a token is due, and half of all tokens say how long one takes. Else a prompt is taken in:
    half of the requests say how long that is silent.
    """
    first = np.sort(raw.first_us())
    calm = first[: int((raw.start_us < raw.end_us.min()).sum())].max(initial=0)
    begins = np.flatnonzero((gaps > 1e6 * least_s) & (times[1:] > calm))
    if not len(begins):
        return np.array([], dtype=np.int64)
    ends = times[begins + 1]
    waiting = np.searchsorted(np.sort(raw.start_us), ends) > np.searchsorted(first, ends)
    token = float(np.median(np.concatenate(raw.itl_us)))
    usual = np.where(waiting, max(token, _of_a_prompt(raw, times, gaps)), token)
    beyond = gaps[begins] - usual
    stall = (beyond > 1e6 * least_s) & (gaps[begins] > STALL_TIMES * usual)
    return np.rint(beyond[stall | (beyond >= 1e6 * STALL_S)]).astype(np.int64)


def _of_a_prompt(raw: RawLoad, times: Ints, gaps: Ints) -> float:
    """The median over requests of the longest silence in their wait for a first token; of those after the first wave, if there are any."""
    later = raw.start_us > 0
    rows = np.flatnonzero(later if later.any() else raw.ok)
    begin = np.searchsorted(times, raw.start_us[rows], side="right") - 1
    end = np.searchsorted(times, raw.first_us()[rows])
    return float(np.median([gaps[a : max(a + 1, b)].max() for a, b in zip(begin, end, strict=True)]))


def _late_us(raw: RawLoad) -> float:
    """How much longer the first wave took than its tokens would have later, once its last prompt was in and until its first end."""
    first = raw.first_us()
    wave = raw.start_us < raw.end_us.min()
    begin, end = int(first[wave].max()), int(raw.end_us.min())
    itl = np.concatenate(raw.itl_us)
    at, _ = raw.later_us()
    early, later = itl[(at - itl >= begin) & (at <= end)], itl[at > end]
    if len(early) < BINS or len(later) < BINS:
        return 0.0
    return (end - begin) * max(0.0, 1 - float(later.mean()) / max(1.0, float(early.mean())))


def course(raw: RawLoad, came: Ints, window_s: tuple[float, float]) -> Course | None:
    """Throughput over a window, from `arrivals`; None where it has too few tokens to say."""
    begin, end = (1e6 * edge for edge in window_s)
    counts = np.diff(np.searchsorted(came, np.linspace(begin, end, BINS + 1)))
    if counts.sum() < BINS * BINS:
        return None
    rates = counts / counts.mean()
    thirds = rates.reshape(3, -1).mean(axis=1)
    within = float((rates.reshape(3, -1) - thirds[:, None]).std(ddof=3))
    late = _late_us(raw) / max(1, int(raw.end_us.max()))
    return Course((float(thirds[0]), float(thirds[1]), float(thirds[2])), within / (BINS / 3) ** 0.5, late)
