"""Gates that compare two sides: requests with each other, and the client's times with the engine's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.node import side_by_side
from utils.node.gates_of_machine import SHARED
from utils.node.record import Gate

if TYPE_CHECKING:
    from utils.node.looked_at import Evidence
    from utils.node.record import Summary

WITHIN_SLACK_S = 0.001
OUTSIDE_NOTE = 0.25
"""Share of latency outside of the engine: 76 honest windows have 3.5 % at the most, a crowded processor 6 %, and very short answers more."""
ENGINE_REQUESTS, ENGINE_AT_ONCE = 10, 2
"""For each engine: so many requests, and so many at once, before it is odd that one had none."""
ENGINE_NOTE = 0.5
"""Of the mean: an engine that finished fewer."""


def same_pace(e: Evidence) -> Gate:
    """Requests that run at the same time get answers at one pace: at most one in twenty is over twice as fast or slow as those beside it, preempted ones aside; from one in a hundred on it is a note."""
    found = e.pace.beside
    if found is None:
        return Gate(name="same_pace", passed=True, found="too few requests beside each other to say")
    return Gate(
        name="same_pace", passed=not _is_apart(e, found, side_by_side.ANOTHER_MOST), found=found.words
    )


def _is_apart(e: Evidence, found: side_by_side.Beside, most: float) -> bool:
    """One that was preempted stands still while others go on, and is slow for that."""
    slow = max(0, found.slow - e.counters.preemptions)
    return (found.fast + slow) / found.rows > most


def one_by_one(e: Evidence) -> Gate:
    """Answers come one by one: at most three in ten at one moment with the answer before, as from something that collects them; from one in twenty on it is a note, and no more where the cluster shares its machine."""
    share = e.pace.together
    found = f"{100 * share:.1f} % of the answers came at one moment with the one before, at most {100 * side_by_side.TOGETHER_MOST:.0f} %"
    good = e.speculative or share <= side_by_side.TOGETHER_MOST or e.foreign_most >= SHARED
    return Gate(name="one_by_one", passed=good, found=found)


def _engine_s(e: Evidence) -> tuple[float, float] | None:
    """Mean seconds that a request was in the engine: until its first token, and in all; None where not all of them are counted."""
    said = e.server
    parts = (said.queue_s, said.prefill_s) if said else (None, None)
    first = _sum(e, *parts)
    if said is None or first is None:
        return None
    return first, first + (_sum(e, said.decode_s) or 0.0)


def _sum(e: Evidence, *parts: Summary | None) -> float | None:
    known = [part.mean for part in parts if part is not None and part.n == e.raw.completed]
    return sum(known) if len(known) == len(parts) else None


def engine_times(e: Evidence) -> Gate:
    """The client waited at least as long as the engine says that it worked, for first tokens and for whole answers; where a quarter of latency lies outside of the engine, it is a note."""
    engine = _engine_s(e)
    if engine is None:
        return Gate(name="engine_times", passed=True, found="the engine does not say how long it worked")
    client = _client_s(e)
    good = all(ours >= theirs - WITHIN_SLACK_S for ours, theirs in zip(client, engine, strict=True))
    found = ", ".join(
        f"{name} {1000 * ours:.1f} ms at the client and {1000 * theirs:.1f} ms in the engine"
        for name, ours, theirs in zip(("first token", "latency"), client, engine, strict=True)
    )
    return Gate(name="engine_times", passed=good, found=found)


def _client_s(e: Evidence) -> tuple[float, float]:
    ok = e.raw.ok
    return float(e.raw.ttft_us[ok].mean()) / 1e6, float(e.raw.latency_us[ok].mean()) / 1e6


def every_engine(e: Evidence) -> Gate:
    """Each engine that /metrics names finished requests, where there were ten for each and two at once; one with less than half of its share is a note."""
    found = _engines(e)
    if not found:
        return Gate(name="every_engine", passed=True, found="one engine, or too few requests for each")
    text = ", ".join(f"engine {name} finished {count}" for name, count in found.items())
    return Gate(name="every_engine", passed=min(found.values()) > 0, found=text[:300])


def _engines(e: Evidence) -> dict[str, int]:
    """What each finished, where there are several and it can be said."""
    found = (e.server and e.server.engines) or {}
    enough = e.load.requests >= ENGINE_REQUESTS * len(found)
    return found if len(found) > 1 and enough and e.load.concurrency >= ENGINE_AT_ONCE * len(found) else {}


GATES = (same_pace, one_by_one, engine_times, every_engine)


def notes(e: Evidence) -> list[str]:
    """What a reader of the figures should know, and no gate of these refuses."""
    found = []
    beside = e.pace.beside
    if beside and same_pace(e).passed and _is_apart(e, beside, side_by_side.ANOTHER_NOTE):
        found.append(f"requests ran at more than one pace: {beside.words}")
    together = one_by_one(e)
    if together.passed and not e.speculative and e.pace.together > side_by_side.TOGETHER_NOTE:
        found.append(together.found.partition(",")[0])
    engine, client = _engine_s(e), _client_s(e)
    if engine and e.server and e.server.decode_s and client[1] - engine[1] > OUTSIDE_NOTE * client[1]:
        share = 1 - engine[1] / client[1]
        found.append(
            f"{100 * share:.0f} % of latency was outside of the engine: in the server's front, on the way, or in the client"
        )
    engines = _engines(e)
    if engines and 0 < min(engines.values()) < ENGINE_NOTE * sum(engines.values()) / len(engines):
        found.append(f"engines had unequal shares: {every_engine(e).found}")
    return found
