"""A person's own vLLM has keys of its own, in both arms; the canonical ones are of the locked packages alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.pipeline.ask import Ask
from utils.pipeline.plan import plan, reused

LOCKED = "qwen3moe-tiny-cpu-vllm"
"""Its image has a lock in this repository."""


@pytest.mark.parametrize("pair", [None, "HEAD", "kernel=off"])
def test_both_arms_have_local_keys(tmp_path: Path, pair: str | None) -> None:
    """Also where the image has a lock."""
    selectors = ("minimaxm3-tiny-cpu-vllm",) if pair == "kernel=off" else (LOCKED,)
    ask = Ask(selectors=selectors, environment=tmp_path, pair=pair)
    found = plan(ask)
    sides = [side for job in found.jobs for side in (job, job.base) if side]
    assert len(sides) == len(found.jobs) * (2 if pair else 1)
    assert all(point.key.startswith("local:") for side in sides for point in side.points)
    assert all(point.parts["locked"] == "own" for side in sides for point in side.points)
    canonical = plan(Ask(selectors=selectors, pair=pair))
    assert all(point.key.startswith("k1:") for job in canonical.jobs for point in job.points)
    if pair == "HEAD":
        assert {one.base is None for one in found.jobs} == {False}
        assert {point.vary == [] for job in found.jobs for point in job.points} == {True}


def test_nothing_of_an_own_environment_is_reused(tmp_path: Path) -> None:
    """The same hash of two people's environments says nothing of their packages."""
    assert reused(plan(Ask(selectors=(LOCKED,))), ROOT), "the changelog has the recipe's own figures"
    assert reused(plan(Ask(selectors=(LOCKED,), environment=tmp_path)), ROOT) == {}
