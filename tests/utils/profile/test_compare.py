from __future__ import annotations

from pathlib import Path

import pytest

from tests.utils.profile.made import EXPERTS, LONG, Made, model
from utils.profile.compare import phases
from utils.profile.figures import Profile
from utils.profile.present_compare import against_first

STEP, PREFILL = "execute_context_0(0)_generation_4(4)", "execute_context_2(300)_generation_0(0)"


def side(folder: Path, name: str, *, factor: float = 1, prefill: bool = True, extra: str = "") -> Profile:
    made, at = Made(), 0.0
    for number in range(4):
        made.step(PREFILL if prefill and not number else STEP, at, 40)
        end = model(made, at + 5, dense=1, sparse=5, factor=factor)
        if extra and number:
            made.kernel(extra, end, 30, at + 10)
        at = end + 100
    folder = folder / name
    folder.mkdir()
    return made.profile(folder)


def test_differences_by_family_and_kernel(tmp_path: Path) -> None:
    """Milliseconds a step of both, the difference and its share; each phase for itself."""
    base, head = side(tmp_path, "base"), side(tmp_path, "head", factor=0.5, extra="my_new_kernel")
    found = phases(base, head)
    assert [one.phase for one in found] == ["decode", "prefill"]
    decode = found[0]
    grouped = 5 * 2 * LONG["fused_moe_kernel"] / 1000
    families = {one.family: one for one in decode.families}
    assert families["experts"].base_ms == pytest.approx(grouped)
    assert families["experts"].ms == pytest.approx(-grouped / 2)
    assert (families["unknown"].base_ms, families["unknown"].head_ms) == pytest.approx((0.0, 0.03))
    assert families["gemm"].ms == pytest.approx(0.0)
    assert [one.name for one in decode.families[:2]] == ["experts", "unknown"]
    assert [one.name for one in decode.kernels[:2]] == ["fused_moe_kernel", "my_new_kernel"]
    assert sum(one.share for one in decode.kernels) == pytest.approx(1)
    assert decode.kernels[0].share == pytest.approx(0.5 / 0.53)
    assert decode.head_kernel_ms - decode.base_kernel_ms == pytest.approx(
        sum(one.ms for one in decode.kernels)
    )
    assert decode.head_ms < decode.base_ms
    assert "my_new_kernel" not in {one.name for one in found[1].kernels}
    assert len(EXPERTS) == 6


def test_traces_that_do_not_differ_say_so(tmp_path: Path) -> None:
    """A heading with nothing below it looks like an output that was cut off."""
    one = side(tmp_path, "base", prefill=False)
    by_kernel = against_first([one, one], 15)[-1]
    assert by_kernel.title.endswith("by kernel")
    assert by_kernel.rows == []
    assert by_kernel.lines == ["no kernel's time differs"]


def test_only_shared_phases(tmp_path: Path) -> None:
    """A trace without prefill has no prefill to compare."""
    found = phases(side(tmp_path, "base"), side(tmp_path, "head", prefill=False))
    assert [one.phase for one in found] == ["decode"]
