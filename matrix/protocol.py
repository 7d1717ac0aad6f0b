"""The load of a point: how many requests, of which lengths, from which seed. Pure numbers; the node's adapter turns them into flags."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from matrix.schema import Strict

if TYPE_CHECKING:
    from matrix.cluster import Limits

PROTOCOL_VERSION = 2
"""Raised by hand when the load changes in any way that can move a number: it is a part of every key."""

SHORTEST = 0.8
"""Lengths are uniform integers in [0.8 L, L], as the public MI300X figures have them."""


CALL_S = 3.0
"""Start and end of a client call, of which a point has two."""


class Protocol(Strict):
    """How long and how much a point is loaded."""

    requests_per_concurrency: int = Field(10, alias="requests-per-concurrency", ge=1, le=1000)
    """Measured requests for each unit of concurrency, at the least."""
    min_duration_s: float = Field(300.0, alias="min-duration-s", ge=0, le=86400)
    """Seconds that the measured load should last at the least, judged from the warm-up's rate."""
    warmup_requests_per_concurrency: int = Field(2, alias="warmup-requests-per-concurrency", ge=1, le=100)
    """Requests of the warm-up for each unit of concurrency; its prompts are other ones."""


CANARY_WAVES = 2
"""Requests of a canary's load for each unit of concurrency."""


def of_canary(protocol: Protocol) -> Protocol:
    """A short load: nobody reads its figures, and what must be compiled is compiled in the first waves."""
    waves = min(CANARY_WAVES, protocol.requests_per_concurrency)
    return protocol.model_copy(update={"requests_per_concurrency": waves, "min_duration_s": 0.0})


def canary_seconds(protocol: Protocol, estimate_s: float) -> float:
    """At the most, where the whole point takes `estimate_s`: a share of its waves."""
    short, warm_up = of_canary(protocol), protocol.warmup_requests_per_concurrency
    waves = protocol.requests_per_concurrency + warm_up
    return 2 * CALL_S + estimate_s * (short.requests_per_concurrency + warm_up) / waves


@dataclass(frozen=True, slots=True)
class Lengths:
    """A uniform integer draw in [low, high], in the client's words: a mean and a ratio around it."""

    low: int
    high: int
    mean: int
    ratio: float


def lengths(longest: int) -> Lengths:
    """The draw for a nominal length.

    The client draws integers in [floor(mean (1 - ratio)), ceil(mean (1 + ratio))]. The mean must be an integer there,
    so the lower end goes up by one where the two ends differ by an odd number; a quarter keeps rounding from crossing.
    """
    low = math.ceil(SHORTEST * longest - 1e-9)
    low += (longest - low) % 2
    mean = (low + longest) // 2
    ratio = max(0.0, round((longest - mean - 0.25) / mean, 8))
    return Lengths(low, longest, mean, ratio)


def seed(point_id: str, purpose: str = "load") -> int:
    """The client's seed of a point (31 bits), equal in all runs; the warm-up has another one."""
    digest = hashlib.sha256(f"{purpose} {point_id}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def requests(protocol: Protocol, concurrency: int, rate_per_s: float) -> int:
    """How many requests to measure: full waves, enough for the minimum duration at the warm-up's rate."""
    least = protocol.requests_per_concurrency * concurrency
    wanted = max(least, math.ceil(rate_per_s * protocol.min_duration_s))
    return math.ceil(wanted / concurrency) * concurrency


MOST_WAVES = 100_000
"""Waves of requests that a load may have: at 300 s, of 3 ms each."""


def fits(protocol: Protocol, concurrency: int, count: object) -> bool:
    """Whether so many requests can be what the first run of an allocation found: full waves, no fewer than the protocol's least."""
    least = requests(protocol, concurrency, 0.0)
    return type(count) is int and count % concurrency == 0 and least <= count <= MOST_WAVES * concurrency


def point_seconds(protocol: Protocol, concurrency: int, tokens: int, limits: Limits) -> float:
    """Warm-up and load of a point that nobody has measured.

    A request of so many tokens takes what it takes alone, and what the node's full rate needs for all that run beside it.
    """
    request_s = limits.estimate_request_s + concurrency * tokens / limits.estimate_tok_per_s
    waves = requests(protocol, concurrency, 0.0) / concurrency
    warm_up = protocol.warmup_requests_per_concurrency * request_s
    return 2 * CALL_S + warm_up + max(protocol.min_duration_s, waves * request_s)
