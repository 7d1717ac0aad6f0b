"""What `profile` says of the real traces, held against what it said before its memory was bounded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from tests.conftest import ROOT
from utils.profile import columns
from utils.profile.analyse import analysis
from utils.profile.trace import Bounds

GOLDEN: dict[str, Any] = json.loads((ROOT / "tests/golden/traces/profiles.json").read_text())
FOLDERS = ("tests/golden/traces", "kernels/minimax_m3_ep/results/2026-11-27-h100-profile")


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Each figure by where it is."""
    if isinstance(value, dict):
        return {
            place: one for name, inner in value.items() for place, one in flat(inner, f"{at}/{name}").items()
        }
    if isinstance(value, list):
        return flat(dict(enumerate(value)), at) | {f"{at}#": len(value)}
    return {at: value}


@pytest.mark.parametrize("block", [7, columns.BLOCK])
@pytest.mark.parametrize("name", GOLDEN)
def test_each_figure_is_the_same(monkeypatch: pytest.MonkeyPatch, name: str, block: int) -> None:
    """To a part in a thousand million, for sums of blocks may end in another last digit; whatever is cut by a block's border too."""
    monkeypatch.setattr(columns, "BLOCK", block)
    path = next(path for folder in FOLDERS if (path := ROOT / folder / name).is_file())
    found, before = flat(asdict(analysis(path, bounds=Bounds(1.0)).profile())), flat(GOLDEN[name])
    times = {place for place, one in before.items() if isinstance(one, float)}
    assert len(times) > 50
    assert {place: found[place] for place in times} == pytest.approx(
        {place: before[place] for place in times}, rel=1e-9, abs=1e-9
    )
    assert {place: one for place, one in found.items() if place not in times} == {
        place: one for place, one in before.items() if place not in times
    }
