"""What is written of a judged change: never the wrong way round, never a change of nothing, and no point under two words."""

from __future__ import annotations

import numpy as np
import pytest

from matrix.metrics import percent
from tests.simulation.worlds import Change, World, judged, ledger_of, spreads_of
from tests.utils.results.conftest import Records, sides
from utils.report import verdict_comment
from utils.results import summary
from utils.results.verdict import headline, present, side_by_side
from utils.results.verdict.compare import compare
from utils.results.verdict.judge import judged as judge_all
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import PointVerdict


@pytest.mark.parametrize(
    ("value", "said"),
    [(-0.04, "-0.04"), (0.0, "0.0"), (-0.0, "0.0"), (0.0312, "0.03"), (2.449, "2.4"), (-12.0, "-12.0"), (1e-9, "0.0000")],
)  # fmt: skip
def test_a_percentage_is_nothing_only_where_it_is(value: float, said: str) -> None:
    """One decimal, and more where one would say 0.0."""
    assert percent(value) == said


def test_no_zero_has_a_minus_and_no_change_is_of_zero(pair: Records, noise: Ledger) -> None:
    """In the terminal's table, the comment and the changelog alike."""
    found = compare(*sides(pair()), noise)
    small = {"percent": -0.03, "low_percent": -0.04, "high_percent": -0.02, "could_see_percent": 0.04, "unchanged_within_percent": 0.04}  # fmt: skip
    for word, says in (
        ("regression", "-0.03%"),
        ("change below the floor", "-0.03%"),
        ("no change seen", "-0.0%"),
    ):
        points = [
            one.model_copy(
                update={
                    "metrics": {
                        n: m.model_copy(update=small | {"word": word}) for n, m in one.metrics.items()
                    }
                }
            )
            for one in found.points
        ]
        said = found.model_copy(update={"points": points})
        one = points[0].metrics["tput"]
        texts = [present.markdown(said), present.short(one), *summary.judged(points[0]).values()]
        beside = [*side_by_side.rows({"x": said}), verdict_comment._row(points[0], points)]
        if word == "no change seen":
            assert not any("-0.0 " in text or says in text for text in texts)
            assert all("0.04" in text for text in texts)
            assert "0.04 %" in headline.sensitivity(points)
        else:
            assert says in texts[0]
            assert says in texts[1]
            assert all("-0.03 %" in "".join(row) and "0.0 %" not in "".join(row) for row in beside), beside


def test_a_jobs_mean_is_of_points_without_a_word_of_their_own() -> None:
    """A job 3 % faster with one point that is slower: that point is no part of the job's improvement, and so in no fact of it."""
    random = np.random.default_rng([5, 0, 4])
    world, said = World(), 0
    sds = world.points_sd(random)
    spreads = spreads_of(world, ledger_of(world, 30, random, sds))
    for _ in range(6):
        _, last, samples, _ = judged(world, spreads, Change(job=-0.03, one=0.08), random, sds)
        own = {
            (one.metric, one.point)
            for one, finding in zip(samples, last.findings, strict=True)
            if finding.word in {"regression", "improvement"}
        }
        for mean in headline.jobs(last):
            said += bool(own)
            assert not {(mean.metric, point) for point in mean.points} & own
    assert said, "else nothing was tried"


def test_a_flagged_point_hides_no_point_without_a_word(pair: Records, noise: Ledger) -> None:
    """One point waits in one metric and is quiet in another; of the other point nothing can be said."""
    waits, silent = compare(*sides(pair()), noise).points

    def of(point: PointVerdict, word: str | None, *, flagged: bool) -> PointVerdict:
        metrics = {
            name: one.model_copy(update={"word": None if name != "ttft" else word, "flagged": flagged and name != "ttft"})
            for name, one in point.metrics.items()
        }  # fmt: skip
        return point.model_copy(update={"metrics": metrics})

    points = [of(waits, "no change seen", flagged=True), of(silent, None, flagged=False)]
    text = headline.headline(points, judge_all([]), []).text
    assert "1 point flagged" in text
    assert "no word for 1 point" in text
