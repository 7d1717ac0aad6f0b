"""How often the verdict is right: whole changes drawn from a SIMULATED server, judged by the whole of `compare` from records.

24 points x 3 metrics, run-to-run sd 0.9 %, a ledger of 30 sweeps of nothing against itself (a new one for each 50 changes,
so that no lucky ledger decides). Fixed seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.simulation import study
from tests.simulation.server import Load, clock_of, run
from tests.simulation.study import Site, name
from utils.node import stats
from utils.node.requests_raw import RawLoad
from utils.results.verdict.ledger import Ledger

PLANTED = name(1, 8)


@pytest.mark.parametrize("drift", [0.0, 0.015], ids=["steady", "drift"])
def test_a_change_of_nothing_is_flagged_in_at_most_one_of_a_hundred(drift: float) -> None:
    """2000 changes; 1.5 % of drift from the first run of a block to its last makes no difference to that."""
    outcomes = study.many(Site(drift=drift), 2000)
    assert len(outcomes) == 2000
    assert sum(bool(one.words) for one in outcomes) <= 20
    assert sum(bool(one.flagged) for one in outcomes) > 20, (
        "the first block alone must flag some, else nothing was confirmed"
    )


@pytest.mark.parametrize(
    ("effect", "runs", "least"), [(0.05, 2, 0.99), (0.03, 2, 0.60), (0.03, 4, 0.90)], ids=str
)
def test_a_slowdown_of_one_point_is_found(effect: float, runs: int, least: float) -> None:
    """Of 24 points one is slower; it must be called a regression, and no other word must stand on it."""
    outcomes = study.many(Site(), 500, runs=runs, effects={PLANTED: math.log1p(effect)})
    found = sum("regression" in one.words.get(PLANTED, ()) for one in outcomes)
    assert found >= least * len(outcomes)
    assert not any("improvement" in one.words.get(PLANTED, ()) for one in outcomes)


def test_without_a_ledger_nothing_is_called_anything() -> None:
    """Not even a point that takes half as long again."""
    for one in study.changes(Site(), 20, Ledger(), 5, effects={PLANTED: 0.5}):
        assert not one.words
        assert not one.flagged


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
    steady = stats.steady(raw, 8, 1)
    assert steady
    assert steady.ttft_s.p50 == pytest.approx(figures.ttft[0], rel=1e-3)
    assert steady.tpot_s.p50 == pytest.approx(figures.tpot[0], rel=1e-3)
    assert steady.total_tok_per_s_per_device == pytest.approx(figures.tput[0], rel=1e-3)
