"""Where a change comes from, by traces made by hand whose every figure is known: kernels add up, or the rest is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.utils.profile.made import Made, model
from utils.pipeline.tpot_change import because, moved_most
from utils.profile.figures import Profile
from utils.results.verdict.outcome import MetricVerdict, PointVerdict

STEP = "execute_context_0(0)_generation_4(4)"
SPECULATIVE = "execute_context_0(0)_generation_4(8)"
GROUPED_MS = 5 * 2 * 0.1
"""Of a step's grouped products with factor 1."""


def side(folder: Path, *, factor: float = 1.0, late_us: float = 0.0, step: str = STEP) -> Profile:
    """Three steps of five sparse layers; the host calls for each next one that much later."""
    made, at = Made(), 0.0
    for _ in range(3):
        made.step(step, at, 40)
        at = model(made, at + 5, dense=1, sparse=5, factor=factor) + 100 + late_us
    made.step(step, at, 40)
    model(made, at + 5, dense=1, sparse=5, factor=factor)
    folder.mkdir()
    return made.profile(folder)


def point(
    percent: float, half: float, base: float = 10.0, *, name: str = "c4", invalid: str = ""
) -> PointVerdict:
    """Its TPOT moved by so much, with that half of an interval."""
    one = MetricVerdict(
        base=base,
        head=base * (1 + percent / 100),
        percent=percent,
        low_percent=percent - half,
        high_percent=percent + half,
        runs=(2, 2),
        df=3,
        calibration="change",
        spread_percent=1.0,
        floor_percent=1.5,
        p=0.01,
        could_see_percent=3.0,
        flagged=True,
        word="regression",
        why="",
    )
    return PointVerdict(
        point=f"r/128x64-tp1-{name}", runs=(2, 2), vary=[], metrics={"tpot": one}, whole={}, invalid=invalid
    )


def test_kernels_that_add_up_are_named_with_their_share(tmp_path: Path) -> None:
    """Grouped products twice as long: the whole millisecond is theirs, and nothing more is said."""
    said = because(point(10, 1), side(tmp_path / "base"), side(tmp_path / "head", factor=2))
    assert said.explained
    assert (said.measured_ms, said.kernels_ms) == pytest.approx((1.0, GROUPED_MS))
    assert [(one.name, one.family) for one in said.kernels] == [("fused_moe_kernel", "experts")]
    assert said.text == (
        "r/128x64-tp1-c4: TPOT +1.00 ms a token (+10.0 %, +0.900 to +1.10 ms); kernels +1.00 ms (100 % of it): "
        "fused_moe_kernel (experts) +1.00 ms (100 % of it)"
    )


@pytest.mark.parametrize(
    ("percent", "half", "explained"),
    [
        (11, 0.5, True),
        (11.2, 0.5, False),
        (11.2, 1.3, True),
        (-10, 1, False),
        (9.2, 0.1, True),
        (9.0, 0.1, False),
    ],
)
def test_within_a_tenth_or_the_pairs_own_interval(
    tmp_path: Path, percent: float, half: float, *, explained: bool
) -> None:
    """Whichever of the two is more; a kernel that moved the other way explains nothing."""
    said = because(point(percent, half), side(tmp_path / "base"), side(tmp_path / "head", factor=2))
    assert said.explained is explained
    assert ("not explained by kernels" in said.text) is not explained
    rest = sum(one.ms for one in said.rest)
    assert said.kernels_ms + rest == pytest.approx(said.measured_ms), "kernels and the rest are the whole"


def test_a_late_host_is_named(tmp_path: Path) -> None:
    """The same kernels with two milliseconds in which the host did not call for the next step."""
    said = because(point(20, 1), side(tmp_path / "base"), side(tmp_path / "head", late_us=2000))
    assert not said.explained
    assert said.kernels_ms == pytest.approx(0.0, abs=1e-6)
    late = {one.name: one.ms for one in said.rest}["gaps in which the host was late"]
    assert late == pytest.approx(0.75 * 2.0, rel=0.01), "three of the four steps have a next one"
    assert (
        "not explained by kernels: +2.00 ms, of which +1.50 ms gaps in which the host was late" in said.text
    )


def test_what_is_in_no_step_is_named(tmp_path: Path) -> None:
    """Equal profiles: the change is a queue's, or of other requests' prefill."""
    said = because(point(20, 1), side(tmp_path / "base"), side(tmp_path / "head"))
    assert "+2.00 ms outside of these steps (queue, prefill of others, what the profiler adds)" in said.text
    assert said.kernels == []


def test_tokens_of_a_step_are_counted(tmp_path: Path) -> None:
    """With speculation a step makes two tokens of a request, and a millisecond of it is half of one of TPOT."""
    said = because(
        point(5, 0.5),
        side(tmp_path / "base", step=SPECULATIVE),
        side(tmp_path / "head", factor=2, step=SPECULATIVE),
    )
    assert said.kernels_ms == pytest.approx(GROUPED_MS / 2)
    assert said.explained


def test_what_cannot_be_explained_says_why(tmp_path: Path) -> None:
    """No decode in a trace; no interval."""
    base = side(tmp_path / "base")
    prefill = side(tmp_path / "prefill", step="execute_context_2(300)_generation_0(0)")
    assert because(point(10, 1), base, prefill).text.endswith("the profile of the head has no decode step")
    none = point(10, 1).model_copy(update={"metrics": {}})
    assert not because(none, base, base).explained
    assert "no change that a profile could explain" in because(none, base, base).text


def test_the_point_that_moved_most() -> None:
    """Of those that moved beyond their noise, up or down, and count."""
    points = [
        point(30, 40, name="c1"),
        point(-8, 2, name="c2"),
        point(5, 1, name="c4"),
        point(50, 1, name="c8", invalid="other answers"),
    ]
    found = moved_most(points)
    assert found is not None
    assert found.point.endswith("c2")
    assert moved_most(points[:1]) is None


def test_without_an_interval_the_floor_decides(tmp_path: Path) -> None:
    """Where nothing says what noise is, a change above the floor is worth its profile, and a tenth of it is what is allowed."""

    def silent(percent: float) -> PointVerdict:
        one = point(percent, 1)
        update = {"low_percent": None, "high_percent": None, "word": None}
        return one.model_copy(update={"metrics": {"tpot": one.metrics["tpot"].model_copy(update=update)}})

    assert moved_most([silent(1.4)]) is None
    assert moved_most([silent(1.4), silent(1.6)]) == silent(1.6)
    said = because(silent(10), side(tmp_path / "base"), side(tmp_path / "head", factor=2))
    assert said.explained
    assert "(+10.0 %, no interval)" in said.text
