"""Stalls and uneven loads are found; honest closed loops, simulated and real, are not."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.simulation import server
from utils.node import stationarity, tokens, window_stats
from utils.node.requests_raw import RawLoad

H100 = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server"


def made(seed: int, concurrency: int, stretch: object = None, osl: int = 64, steps: float = 1.0) -> RawLoad:
    """A SIMULATED closed loop; `stretch` turns the clock of its steps into another one."""
    load = server.Load.drawn(seed, concurrency, osl=osl)
    random = np.random.default_rng(seed)
    clock = steps * server.clock_of(load, np.ones(1), server.Noise(), random)[0]
    if callable(stretch):
        clock = stretch(clock)
    us = np.rint(clock * 1e6).astype(np.int64)
    ends = [us[a + 1 : b + 2] for a, b in zip(load.start, load.end, strict=True)]
    start = us[load.start]
    n = len(start)
    last = np.array([one[-1] for one in ends])
    return RawLoad(
        start_us=start,
        ttft_us=np.array([one[0] for one in ends]) - start,
        latency_us=last - start,
        input_len=load.prompts.astype(np.int64),
        output_len=load.lengths.astype(np.int64),
        itl_us=[np.diff(one) for one in ends],
        errors=[""] * n,
        first_start_s=0.0,
        duration_s=float(last.max()) / 1e6,
        completed=n,
        failed=0,
        reported={},
    )


def judged(raw: RawLoad, concurrency: int) -> tuple[stationarity.Silence, stationarity.Course | None]:
    """Both, as gates see them."""
    came = stationarity.arrivals(raw)
    quiet = stationarity.silence(raw, came)
    assert quiet is not None
    steady = window_stats.steady(raw, concurrency, 1)
    window = (steady.start_s, steady.start_s + steady.duration_s) if steady else None
    return quiet, stationarity.course(raw, came, window) if window else None


def test_arrivals_are_those_of_each_row_that_completed() -> None:
    """They are made for all rows at once; one by one it is this, with rows of a single answer and one that failed."""
    raw = made(1, 4)
    itls = [row[:0] if i % 5 == 0 else row for i, row in enumerate(raw.itl_us)]
    raw = replace(raw, itl_us=itls, errors=["", "reset", *raw.errors[2:]])
    plain = [
        first + np.concatenate(([0], np.cumsum(row)))
        for first, row, good in zip(raw.start_us + raw.ttft_us, itls, raw.ok, strict=True)
        if good
    ]
    assert stationarity.arrivals(raw).tolist() == sorted(np.concatenate(plain).tolist())


def stalled(seconds: float, at: float = 0.6) -> object:
    """A clock that stands still once."""

    def stretch(clock: np.ndarray) -> np.ndarray:
        return np.where(clock > at * clock[-1], clock + seconds, clock)

    return stretch


def decaying(by: float) -> object:
    """A server whose speed falls through the load, at its end to `1 - by`."""

    def stretch(clock: np.ndarray) -> np.ndarray:
        share = clock[:-1] / clock[-1]
        return np.concatenate(([0.0], np.cumsum(np.diff(clock) / (1 - by * share))))

    return stretch


SHAPES = [(c, osl) for c in (1, 2, 8, 64) for osl in (16, 64, 256)]


def test_honest_loads_raise_nothing() -> None:
    """720 simulated windows over load shapes: none is a stall or too uneven, so that at most 0.42 % would be (95 %, rule of three)."""
    bad = []
    for seed in range(60):
        for concurrency, osl in SHAPES:
            raw = made(seed, concurrency, osl=osl)
            quiet, course = judged(raw, concurrency)
            first = tokens.first(raw)
            if quiet.is_stall or (course and course.is_wrong) or (first and first.is_early):
                bad.append((seed, concurrency, osl))
    assert bad == []


@pytest.mark.parametrize(
    "path", sorted(H100.glob("*/*/record.json")), ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}"
)
def test_real_loads_on_h100s_pass(path: Path) -> None:
    """The raw requests of a real server; uneven while its first waves part, and no more."""
    columns = json.loads(gzip.decompress((path.parent / "requests.json.gz").read_bytes()))
    itls = json.loads(gzip.decompress((path.parent / "itl.json.gz").read_bytes()))["itl_us"]
    ints = {
        name: np.array(columns[name], dtype=np.int64)
        for name in ("start_us", "ttft_us", "latency_us", "input_len", "output_len")
    }
    n = len(itls)
    raw = RawLoad(
        ints["start_us"],
        ints["ttft_us"],
        ints["latency_us"],
        ints["input_len"],
        ints["output_len"],
        itl_us=[np.array(row, dtype=np.int64) for row in itls],
        errors=[""] * n,
        first_start_s=0.0,
        duration_s=1.0,
        completed=n,
        failed=0,
        reported={},
    )
    quiet, course = judged(raw, json.loads(path.read_bytes())["load"]["concurrency"])
    assert not quiet.is_stall
    assert not quiet.is_hiccup
    assert course is not None
    assert not course.is_wrong
    assert course.late_share == 0


@pytest.mark.parametrize("concurrency", [1, 2, 8, 64])
@pytest.mark.parametrize("seconds", [1.0, 5.0, 20.0])
def test_a_stall_is_found(concurrency: int, seconds: float) -> None:
    """Wherever it comes; where it is, is said."""
    for at in (0.2, 0.6, 0.9):
        quiet, _ = judged(made(3, concurrency, stalled(seconds, at)), concurrency)
        assert quiet.is_stall
        assert quiet.longest_s > seconds


def test_five_seconds_are_a_stall_also_where_silence_is_usual() -> None:
    """Long prompts alone: each is silent for 4 s; one that takes 9.5 s is one stall."""
    slow = made(1, 1, osl=16, steps=500)
    quiet, _ = judged(slow, 1)
    assert quiet.usual_s > 2
    assert not quiet.is_stall
    assert judged(made(1, 1, stalled(5.5), osl=16, steps=500), 1)[0].is_stall


def test_a_short_stall_is_a_note() -> None:
    """Three times what is usual."""
    quiet, _ = judged(made(1, 1, stalled(0.5), steps=20), 1)
    assert quiet.is_hiccup
    assert not quiet.is_stall


def often(seconds: float, times: int) -> object:
    """A clock that stands still again and again."""

    def stretch(clock: np.ndarray) -> np.ndarray:
        at = (np.arange(times) + 0.5) / times * clock[-1]
        moved: np.ndarray = clock + seconds * (clock[:, None] > at).sum(axis=1)
        return moved

    return stretch


@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize(("seconds", "times"), [(5.0, 6), (5.0, 10), (1.0, 12)])
def test_stalls_that_come_in_each_part_are_not_usual(concurrency: int, seconds: float, times: int) -> None:
    """Half of the load and more is a standstill."""
    quiet, _ = judged(made(3, concurrency, often(seconds, times), osl=256), concurrency)
    assert quiet.lost_s > 0.99 * seconds * times
    assert quiet.is_stall


def test_a_stall_between_tokens_is_one_where_prompts_are_silent_for_longer() -> None:
    """4 s of silence are usual for a prompt, and are not for a token."""

    def stretch(clock: np.ndarray) -> np.ndarray:
        steps = np.diff(clock)
        prompts = steps > 1.1 * np.median(steps)
        slow = np.cumsum(np.concatenate(([0.0], np.where(prompts, 4.0, steps))))
        calm = int(np.flatnonzero(prompts)[5]) + 4
        return np.where(np.arange(len(slow)) > calm, slow + 5.5, slow)

    quiet, _ = judged(made(1, 1, stretch), 1)
    assert quiet.usual_s > 3
    assert quiet.is_stall


@pytest.mark.parametrize("concurrency", [1, 4, 16, 64])
@pytest.mark.parametrize(("times", "bad"), [(6.0, True), (1.8, False)])
def test_a_slow_first_wave_is_found(concurrency: int, times: float, bad: bool) -> None:  # noqa: FBT001 - a table
    """It is in no steady window, and it is in what the field publishes."""

    def stretch(clock: np.ndarray) -> np.ndarray:
        early = clock[:-1] < 0.09 * clock[-1]
        return np.concatenate(([0.0], np.cumsum(np.where(early, times, 1.0) * np.diff(clock))))

    _, course = judged(made(3, concurrency, stretch, osl=256), concurrency)
    assert course is not None
    assert course.change < stationarity.UNEVEN_NOTE
    assert course.is_uneven
    assert course.is_wrong is bad


@pytest.mark.parametrize("concurrency", [2, 8, 64])
def test_throughput_that_decays_is_found(concurrency: int) -> None:
    """To a third: invalid. To three quarters: a note."""
    _, course = judged(made(4, concurrency, decaying(0.8)), concurrency)
    assert course is not None
    assert course.change > stationarity.UNEVEN_MOST
    _, course = judged(made(4, concurrency, decaying(0.4)), concurrency)
    assert course is not None
    assert course.is_uneven
    assert course.thirds[0] > course.thirds[2]
