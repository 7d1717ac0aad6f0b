"""What the client's streamed answers say of tokens: answers that brought several, and a first one that brought none. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.node.side_by_side import TOGETHER_US

if TYPE_CHECKING:
    from utils.node.requests_raw import Ints, RawLoad

MERGED_NOTE = 0.02
"""Share of tokens without an answer of their own, from which on it is a note: 0.5 % were seen on a busy machine."""
SHORT_NOTE = 0.95
"""Share of requests with fewer answers than tokens, from which on it is a note: what comes by chance leaves some out (74 % at 108 at once on H100s)."""
FIRST_TIMES = 2.5
"""The second answer comes so many times later than others usually do: then the first may have brought nothing."""
LEAST = 8
"""Requests of several tokens that it takes to say so."""
EARLY_NOTE, EARLY_MOST = 0.2, 0.3
"""Share of requests of which it can be said by themselves. Another prompt may come between: 0.7 % at the most in 12 honest windows on H100s, 18 % in 720 simulated ones."""


@dataclass(frozen=True, slots=True)
class First:
    """Medians over requests, in seconds."""

    ttft_s: float
    second_s: float
    """From the first answer to the second."""
    usual_s: float
    """Between later ones."""
    early: int = 0
    """Requests of which the same can be said by themselves."""
    rows: int = 1

    @property
    def is_empty(self) -> bool:
        """Whether the work of a first token lies behind the first answer: no step of an engine that decodes is longer than its prefill."""
        most = self.second_s > FIRST_TIMES * self.usual_s and self.second_s > self.ttft_s
        return most or (self.early >= LEAST and self.early > EARLY_MOST * self.rows)

    @property
    def words(self) -> str:
        """What was found."""
        text = f"medians: first after {1000 * self.ttft_s:.1f} ms, second {1000 * self.second_s:.1f} ms later, others {1000 * self.usual_s:.1f} ms"
        return f"{text}; so by itself in {self.early} of {self.rows} requests" if self.early else text

    @property
    def is_early(self) -> bool:
        """Whether a reader should know."""
        return self.early >= LEAST and self.early > EARLY_NOTE * self.rows


def first(raw: RawLoad) -> First | None:
    """Of the requests after the first wave, whose prompts come all at once; None where they are too few to say."""
    rows = np.flatnonzero(raw.ok & (raw.start_us > 0) & np.array([len(row) > 2 for row in raw.itl_us]))  # noqa: PLR2004 - one to compare with
    if len(rows) < LEAST:
        return None
    seconds = np.array([raw.itl_us[row][0] for row in rows])
    later = np.array([_median(raw.itl_us[row][1:]) for row in rows])
    return First(
        float(np.median(raw.ttft_us[rows])) / 1e6,
        float(np.median(seconds)) / 1e6,
        float(np.median(later)) / 1e6,
        int(((seconds > FIRST_TIMES * later) & (seconds > raw.ttft_us[rows])).sum()),
        len(rows),
    )


def _median(row: Ints) -> float:
    """NumPy's own takes ten times longer for a row of some hundred values."""
    values = np.sort(row)
    return float(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def answers(raw: RawLoad, *, chat: bool) -> Ints:
    """Streamed answers of each request, without the one that names a chat's role: it is first, and the first token is right behind it."""
    role = [int(chat and len(row) > 0 and row[0] < TOGETHER_US) for row in raw.itl_us]
    return np.array([len(row) + 1 for row in raw.itl_us], dtype=np.int64) - np.array(role, dtype=np.int64)


def merged(raw: RawLoad, *, chat: bool) -> float:
    """Share of output tokens that had no streamed answer of their own."""
    ok = raw.ok
    tokens = int(raw.output_len[ok].sum())
    return 1 - int(answers(raw, chat=chat)[ok].sum()) / max(1, tokens)


def are_merged(raw: RawLoad, *, chat: bool) -> bool:
    """Whether a reader should know: many tokens had no answer of their own, or some of every request, such as its first ones."""
    ok = raw.ok
    found = answers(raw, chat=chat)[ok]
    often = len(found) >= LEAST and float((found < raw.output_len[ok]).mean()) >= SHORT_NOTE
    return often or merged(raw, chat=chat) >= MERGED_NOTE
