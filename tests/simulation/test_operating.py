"""How often the verdict is right: whole changes drawn from SIMULATED servers, 24 points x 3 metrics, run-to-run sd 0.9 %, fixed seeds.

The short form of `benchmarks/verdict_worlds.py`, whose figures are in docs/verdict.md.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.simulation import study
from tests.simulation.rates import Case, count
from tests.simulation.server import Load, clock_of, run
from tests.simulation.study import Site, name
from tests.simulation.worlds import Change, World
from utils.node import window_stats
from utils.node.requests_raw import RawLoad
from utils.results.verdict.ledger import Ledger

PLANTED = name(1, 8)


@pytest.mark.parametrize(
    "case",
    [
        Case(World()),
        Case(World(), ledger=World(sd=0.0045)),
        Case(World(), ledger=World(sd=0.003), recipe="other"),
        Case(World(tails=3)),
        Case(World(loud_one=3.0), sweeps=0),
    ],
    ids=["right ledger", "half as loud", "another model's", "heavy tails", "no ledger, c1 loud"],
)
def test_a_change_of_nothing_is_called_nothing(case: Case) -> None:
    """The short form of docs/verdict.md's table, whose bounds are 1 or 2 of 100: of 60 at most 3, which such a rule exceeds once in ten thousand."""
    found = count(case, 60, seed=11)
    assert found.called <= 3
    assert found.again > 0, "the first block alone must flag some, else nothing was confirmed"
    assert found.covered >= 0.92 * found.intervals


@pytest.mark.parametrize(
    ("case", "what", "least"),
    [
        (Case(World(), Change(one=0.0296)), "found", 30),
        (Case(World(share=0.0), Change(one=0.0296)), "found", 10),
        (Case(World(), Change(one=0.0488)), "found", 38),
        (Case(World(), Change(one=0.0296), sweeps=1), "found", 9),
        (Case(World(drift=0.015), Change(one=0.0296), how="pulls"), "found", 26),
        (Case(World(), Change(job=0.0198)), "job", 10),
        (Case(World(), Change(everything=0.0119)), "everything", 20),
    ],
    ids=["3 %", "3 %, no shared luck", "5 %", "3 %, 1 sweep", "3 %, drift", "a job 2 %", "everything 1.2 %"],
)
def test_a_slowdown_is_found(case: Case, what: str, least: int) -> None:
    """Of 40 changes, each bound about three standard deviations below what the long form finds."""
    found = count(case, 40, seed=12, chunk=5 if case.sweeps == 1 else 40)
    assert getattr(found, what) >= least
    assert found.wrong <= 2


def test_compare_says_the_same_from_records() -> None:
    """The other SIMULATED server, through the whole of `compare`: nothing called of changes of nothing, 5 % found, also without any ledger."""
    ledger = study.filled_ledger(Site(), 8, 3)
    assert not any(one.words for one in study.changes(Site(), 12, ledger, 4))
    for known, least in ((ledger, 9), (Ledger(), 7)):
        outcomes = list(study.changes(Site(), 10, known, 5, effects={PLANTED: math.log1p(0.06)}))
        assert sum("regression" in one.words.get(PLANTED, ()) for one in outcomes) >= least
        assert not any("improvement" in said for one in outcomes for said in one.words.values())


def test_runs_vary_by_nine_tenths_of_a_percent() -> None:
    """As the figures above take for granted."""
    found = study.blocks(Site(), 500, 2, {}, np.random.default_rng(3))
    for metric, most in (("tput", 0.0095), ("tpot", 0.0095), ("ttft", 0.02)):
        spreads = [float(np.log(getattr(figures, metric)).std()) for figures, _ in found.values()]
        assert 0.008 < float(np.mean(spreads)) < most


def test_the_simulation_counts_as_the_node_does() -> None:
    """One simulated run, as raw requests, through the node's own code for steady windows."""
    load, random = Load.drawn(7, 8), np.random.default_rng(1)
    noise = Site().noise
    figures = run(load, np.array([1.0]), noise, random)
    clock = clock_of(load, np.array([1.0]), noise, np.random.default_rng(1))[0]
    begin, first, end = clock[load.start], clock[load.start + 1], clock[load.end + 1]
    order = np.argsort(begin, kind="stable")
    us = [np.round(1e6 * column[order]).astype(int) for column in (begin, first, end)]
    itls = [np.round(1e6 * np.diff(clock[load.start[i] + 1 : load.end[i] + 2])).astype(int) for i in order]
    raw = RawLoad(
        start_us=us[0],
        ttft_us=us[1] - us[0],
        latency_us=us[2] - us[0],
        input_len=load.prompts[order],
        output_len=load.lengths[order],
        itl_us=itls,
        errors=[""] * len(order),
        first_start_s=0.0,
        duration_s=float(clock[-1]),
        completed=len(order),
        failed=0,
        reported={},
    )
    steady = window_stats.steady(raw, 8, 1)
    assert steady
    assert steady.ttft_s.p50 == pytest.approx(figures.ttft[0], rel=1e-3)
    assert steady.tpot_s.p50 == pytest.approx(figures.tpot[0], rel=1e-3)
    assert steady.total_tok_per_s_per_device == pytest.approx(figures.tput[0], rel=1e-3)
