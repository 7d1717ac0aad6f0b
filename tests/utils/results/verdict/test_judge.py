"""The statistics of a verdict, against figures that are known elsewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.results.verdict import seen
from utils.results.verdict.contrasts import contrasts
from utils.results.verdict.evidence import Effect
from utils.results.verdict.judge import Block, Finding, Sample, benjamini_hochberg, judge
from utils.results.verdict.ledger import Spread
from utils.results.verdict.variances import prior, scatter_of
from utils.results.verdict.words import repeats

BENJAMINI_HOCHBERG_1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""The example of their paper (J. R. Statist. Soc. B 57, 289-300): four rejections at 5 %, where Bonferroni has three."""


def test_the_example_of_the_paper() -> None:
    """Four of fifteen."""
    assert sum(benjamini_hochberg(BENJAMINI_HOCHBERG_1995, 0.05)) == 4
    assert benjamini_hochberg([*BENJAMINI_HOCHBERG_1995, math.nan], 0.05)[-2:] == [False, False]


@given(st.lists(st.floats(0, 1), max_size=30))
def test_smaller_p_values_never_stand_out_less(p: list[float]) -> None:
    """Whatever the values, and none stands out that is above the rate."""
    passed = benjamini_hochberg(p)
    chosen = [value for value, yes in zip(p, passed, strict=True) if yes]
    rest = [value for value, yes in zip(p, passed, strict=True) if not yes]
    assert not chosen or not rest or max(chosen) <= min(rest)
    assert all(value <= 0.1 for value in chosen)


SEED = {
    "main": {"ttft": 46.55, "tpot": 185.39},
    "fused": {"ttft": 57.33, "tpot": 223.16},
    "final": {"ttft": 45.36, "tpot": 179.37},
}
"""`source:` MiniMax-M3 on MI300X, 8k1k c256 EP8, whole-run means as published (public runs 27510667862 and 27569397626):
TTFT in s, TPOT in ms. Not measured here; two runs an arm are assumed equal."""
FLOORS = {"ttft": 0.03, "tpot": 0.015}


def published(candidate: str, sd: float) -> dict[str, Finding]:
    """A published candidate against main, confirmation waived, a ledger with 19 degrees of freedom assumed."""
    samples = {
        metric: Sample(
            first=Block((SEED["main"][metric],) * 2, (SEED[candidate][metric],) * 2),
            again=None,
            spread=Spread(sd, 19, "borrowed"),
            floor=floor,
            more_is_better=False,
        )
        for metric, floor in FLOORS.items()
    }
    return dict(zip(samples, judge(list(samples.values()), confirmation=False), strict=True))


def test_the_published_fused_candidate_is_a_regression() -> None:
    """In TTFT and in TPOT, with runs that vary by 1 %."""
    assert {name: one.word for name, one in published("fused", 0.01).items()} == {
        "ttft": "regression",
        "tpot": "regression",
    }


def test_the_published_final_candidate_is_an_improvement_in_tpot_alone() -> None:
    """Its TTFT, 2.6 % better, stays under the floor."""
    found = published("final", 0.01)
    assert found["tpot"].word == "improvement"
    assert found["tpot"].effect == pytest.approx(math.log(179.37 / 185.39))
    assert (found["ttft"].word, found["ttft"].why) == (
        "change below the floor",
        "smaller than the 3.0 % from which it matters",
    )


def test_with_noisier_runs_the_same_candidate_is_no_change_seen() -> None:
    """4 % a run: unchanged within about 10 %, which is all that can be said of 3 %."""
    found = published("final", 0.04)
    for metric in FLOORS:
        assert found[metric].word == "no change seen"
        assert found[metric].within == pytest.approx(0.0985, abs=0.006)


def test_the_interval_and_p_are_students() -> None:
    """T = 2.093 with 19 degrees of freedom is 5 % (any table)."""
    effect = 2.093 * 0.01
    sample = Sample(
        Block((1.0, 1.0), (math.exp(effect),) * 2), None, Spread(0.01, 19, "own"), 0.0, more_is_better=True
    )
    (found,) = judge([sample])
    assert found.p == pytest.approx(0.05, abs=1e-4)
    assert found.half_width == pytest.approx(effect, rel=1e-3)


def test_a_repetition_wants_the_same_sign() -> None:
    """One-sided 5 % is t = 1.729 with 19 degrees of freedom (any table)."""
    for last, wanted in ((1.74, True), (1.72, False), (-5.0, False)):
        assert repeats(Effect(effect=0.1, error=0.01, df=19, last=last), 0.05) is wanted


def test_the_free_contrast_of_a_block() -> None:
    """((r3 - r0) - 3 (r2 - r1)) / sqrt(20) for B H H B: of the length of one run, and blind for arms and drift; five of twice that."""
    ((free,), trend) = contrasts((False, True, True, False))
    sign = math.copysign(1, free[3])
    assert [sign * w * math.sqrt(20) for w in free] == pytest.approx([-1, 3, -3, 1])
    assert sum(w * i for i, w in enumerate(free)) == pytest.approx(0)
    assert [abs(w) * math.sqrt(20) for w in trend] == pytest.approx([3, 1, 1, 3])
    assert len(contrasts((False, True, True, False) * 2)[0]) == 5


def test_more_runs_see_less_and_more_tests_more() -> None:
    """By the whole rule: of one test with noise that is known, 80 % at both looks together."""
    plain = seen.Rule(0.05, 0.05, 1e9, 1e9, 1e9, 1e9, 1.0, 0.0)
    alone = seen.smallest(plain)
    # both looks and a second block that repeats by itself: more than the 2.8 of one look, which is half of both
    assert 2.8 < alone < 3.2
    many = seen.smallest(seen.Rule(0.007, 1e-4, 1e9, 1e9, 1e9, 1e9, 1.0, 0.0))
    few = seen.smallest(seen.Rule(0.007, 1e-4, 8, 12, 8, 30, 1.0, 0.0))
    beside = seen.smallest(seen.Rule(0.007, 1e-4, 1e9, 1e9, 1e9, 1e9, 0.7, 0.0))
    assert beside < many < few
    assert math.isnan(seen.smallest(seen.Rule(0.007, 1e-4, 1, 1, 1, 1, 1.0, 0.0)))


def test_scatter_is_guarded() -> None:
    """Points that look alike by few degrees of freedom may still be unlike; by many they are alike."""
    few = scatter_of([(value, 2.0) for value in (1.0, 1.1, 0.9, 1.05, 0.97, 1.02)])
    many = scatter_of([(value, 60.0) for value in (1.0, 1.1, 0.9, 1.05, 0.97, 1.02)])
    unlike = scatter_of([(value, 60.0) for value in (1.0, 9.0, 0.2, 4.0, 0.5, 2.0)])
    assert unlike < few < many


def test_no_calibration_takes_no_part() -> None:
    """It has no word, and makes the others' correction no stricter."""
    silent = Sample(Block((1.0,), (2.0,)), None, Spread(math.nan, 3, "none"), 0.0, more_is_better=True)
    loud = Sample(Block((1.0, 1.0), (1.03, 1.03)), None, Spread(0.01, 19, "own"), 0.0, more_is_better=True)
    alone = judge([loud], confirmation=False)[0]
    found = judge([loud, *[silent] * 50], confirmation=False)
    assert (found[0].word, alone.word) == ("improvement", "improvement")
    assert {one.word for one in found[1:]} == {None}
    assert math.isnan(found[1].half_width)


def test_variances_that_are_alike_are_pooled_and_others_are_not() -> None:
    """Chance scatter alone means one common variance; an outlier keeps its own."""
    alike = prior([(1.0, 20), (1.1, 20), (0.9, 20), (1.05, 20)])
    assert alike
    assert math.isinf(alike.df)
    assert alike.drawn(1.1, 20)[0] == pytest.approx(1.0, rel=0.1)
    unlike = prior([(1.0, 20), (4.0, 20), (0.2, 20), (16.0, 20)])
    assert unlike
    assert unlike.df < 3
    assert unlike.drawn(16.0, 20)[0] > 12
    assert prior([(1.0, 20), (2.0, 20)]) is None
    assert prior([(1.0, 20), (0.0, 20), (1.0, 20)]) is None


def test_the_inverse_of_trigamma() -> None:
    """Against the function itself, over ten orders of magnitude."""
    from scipy import special

    from utils.results.verdict.variances import _inverse_trigamma

    for value in (1e-6, 1e-3, 0.1, 1.0, 5.0, 100.0, 1e4):
        assert float(special.polygamma(1, _inverse_trigamma(value))) == pytest.approx(value, rel=1e-9)
