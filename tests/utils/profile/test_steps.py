from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.utils.profile.made import Made, model
from utils.profile import steps
from utils.profile.rules import shipped

DECODE, PREFILL, MIXED = (
    "execute_context_0(0)_generation_4(4)",
    "execute_context_2(300)_generation_0(0)",
    "execute_context_1(100)_generation_3(3)",
)


@pytest.mark.parametrize(
    ("name", "phase", "requests", "tokens"),
    [
        (DECODE, "decode", 4, 4),
        (PREFILL, "prefill", 2, 300),
        (MIXED, "mixed", 4, 103),
        ("execute_context_0(0)_generation_4(16)", "decode", 4, 16),
        (
            "execute_103_context_1(sq100sk100sqsq10000sqsk10000)_generation_3(sq3sk90sqsq3sqsk90)",
            "mixed",
            4,
            103,
        ),
        ("step[DECODE bs=8 graph=1]", "decode", 8, None),
        ("step[EXTEND bs=2 toks=512]", "prefill", 2, 512),
        ("decode[bs=16]", "decode", 16, None),
    ],
)
def test_annotations_of_several_engines(name: str, phase: str, requests: int, tokens: int | None) -> None:
    """What each says of its step."""
    said = shipped().step(name)
    assert said is not None
    assert (said.phase, said.requests, said.tokens) == (phase, requests, tokens)


@pytest.mark.parametrize(
    "name",
    [
        "gpu_model_runner: forward",
        "execute_model",
        "ProfilerStep#3",
        "decode",
        f"execute_context_{'9' * 5000}(0)_generation_4(4)",
    ],
)
def test_other_annotations_are_no_steps(name: str) -> None:
    """Scopes inside of a step, and torch's own."""
    assert shipped().step(name) is None


def test_kernels_are_of_the_step_in_which_the_host_called_for_them(tmp_path: Path) -> None:
    """Also where the device runs a step while the host is in the next one, and with prefill, decode and both mixed."""
    made = Made()
    for number, name in enumerate((PREFILL, DECODE, DECODE, MIXED)):
        made.step(name, 1000 * number, 400)
        made.kernel(
            "gemm_a", 1300 + 1000 * number, 800, 1000 * number + 100
        )  # begins after its annotation's end
        made.kernel("gumbel_sample", 2110 + 1000 * number, 100, 1000 * number + 500)  # called for after it
    found = made.profile(tmp_path)
    assert [(one.phase, len(one.steps)) for one in found.phases] == [
        ("decode", 2),
        ("prefill", 1),
        ("mixed", 1),
    ]
    decode = found.phase("decode")
    assert decode is not None
    assert {one.name: (one.calls, one.ms) for one in decode.kernels} == {
        "gemm_a": (1, 0.8),
        "gumbel_sample": (1, 0.1),
    }
    assert [round(one.ms, 3) for one in decode.steps] == [1.0, 1.0]
    assert found.totals.outside_ms == 0


def test_work_before_the_first_and_long_after_the_last_step_is_outside(tmp_path: Path) -> None:
    """Told, and in no step's figures."""
    made = Made()
    made.kernel("warm", 0, 50, 0)
    for number in range(3):
        made.step(DECODE, 1000 + 100 * number, 50)
        made.kernel("gemm", 1010 + 100 * number, 40, 1001 + 100 * number)
    made.kernel("late", 9000, 30, 8990)
    found = made.profile(tmp_path)
    assert found.totals.outside_ms == pytest.approx(0.08)
    assert [one.name for one in found.phases[0].kernels] == ["gemm"]
    assert max(one.ms for one in found.phases[0].gaps) == pytest.approx(
        0.06
    )  # not the one before the late kernel


def test_without_launches_the_annotations_on_the_device_tell(tmp_path: Path) -> None:
    """The same step on two streams is one step; the reader learns that gaps have no cause."""
    made = Made()
    for number in range(2):
        at = 1000.0 * number
        made.step(DECODE, at, 300)
        for stream in (7, 9):
            made.add("gpu_user_annotation", DECODE, at + 500, 400, pid=0, tid=stream, device=0, stream=stream)
            made.on_device("gemm", at + 500, 200, None, stream=stream)
    found = made.profile(tmp_path)
    assert [len(one.steps) for one in found.phases] == [2]
    assert [one.calls for one in found.phases[0].kernels] == [2]
    assert found.phases[0].steps[0].starved_ms is None
    assert any("4 of 4 kernels and copies have no launch" in remark for remark in found.remarks)


@pytest.mark.parametrize("graph", [True, False])
def test_steps_without_annotations_come_from_what_comes_back(tmp_path: Path, graph: bool) -> None:  # noqa: FBT001 - a case
    """And it is said; the phase is not known. What comes back may be in the middle of a step, so that the last one lacks its end."""
    made, at = Made(), 0.0
    for _ in range(5):
        at = model(made, at, dense=1, sparse=4, graph=graph) + 100
    found = made.profile(tmp_path)
    assert [(one.phase, len(one.steps)) for one in found.phases] == [("phase unknown", 4)]
    assert "no annotation of a step that has work" in found.how
    assert "less than a step follows, which is left out" in found.how
    assert sum(one.calls for one in found.phases[0].kernels) == 10 + 4 * 13 + 3
    layers = found.phases[0].layers
    assert layers is not None
    assert (layers.layers, layers.sparse, layers.alike) == (5, 4, 4)


def test_the_last_step_counts_where_it_is_whole(tmp_path: Path) -> None:
    """What comes back is the first of its step."""
    made = Made()
    for number in range(4):
        for place, name in enumerate(("first", "other", "other", "other")):
            made.kernel(name, 100 * number + 10 * place, 5, 100 * number)
    found = made.profile(tmp_path)
    assert len(found.phases[0].steps) == 4
    assert "left out" not in found.how


def test_nothing_that_comes_back_is_one_step(tmp_path: Path) -> None:
    """And it is said."""
    made = Made()
    for number, name in enumerate(("a", "b", "c")):
        made.kernel(name, 10 * number, 5, 10 * number)
    found = made.profile(tmp_path)
    assert len(found.phases[0].steps) == 1
    assert "shown as one step" in found.how
    assert found.phases[0].layers is None


def test_an_annotation_without_work_is_no_step(tmp_path: Path) -> None:
    """Such as one of a profile that ended before the device did anything of it."""
    made = Made()
    made.kernel("a", 10, 5, 1)
    made.step(DECODE, 1000, 50)
    found = made.profile(tmp_path)
    assert [len(one.steps) for one in found.phases] == [1]
    assert "shown as one step" in found.how


def test_annotations_on_the_device_alone(tmp_path: Path) -> None:
    """A step that was on two streams is one step."""
    made = Made()
    for number in range(3):
        for stream in (7, 9):
            at = 1000.0 * number + stream
            made.add("gpu_user_annotation", DECODE, at, 400, pid=0, tid=stream, device=0, stream=stream)
            made.on_device("gemm", at, 200, None, stream=stream)
    found = made.profile(tmp_path)
    assert [len(one.steps) for one in found.phases] == [3]
    assert "on the device's side alone" in found.how
    assert found.totals.outside_ms == 0


def test_what_comes_back_unevenly_is_no_step(tmp_path: Path) -> None:
    """Two kernels between the first two, a hundred between the next."""
    made, at = Made(), 0.0
    for between in (2, 100, 3):
        for number in range(between + 1):
            made.kernel("anchor" if not number else f"k{at}", at, 5, at)
            at += 10
    made.kernel("anchor", at, 5, at)
    assert len(made.profile(tmp_path).phases[0].steps) == 1


def test_more_steps_than_anybody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is an object: annotated ones beyond the bound are told, and what only comes back that often is no step."""
    monkeypatch.setattr(steps, "MOST_STEPS", 4)
    made = Made()
    for number in range(5):
        made.kernel("a", 100 * number + 10, 5, 100 * number)
        made.kernel("b", 100 * number + 20, 5, 100 * number)
        made.kernel("c", 100 * number + 30, 5, 100 * number)
    assert len(made.profile(tmp_path).phases[0].steps) == 1
    for number in range(5):
        made.step(DECODE, 100 * number, 50)
    with pytest.raises(HarnessError, match=r"more than 4 steps.*record fewer") as caught:
        made.profile(tmp_path)
    assert caught.value.exit_code == Exit.TRACE_UNREADABLE
