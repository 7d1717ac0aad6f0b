"""Lean records give the same verdict as whole ones, and hold what they share once."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.node import record_file, saturation
from utils.node.record import Record, ServerWindow
from utils.results.collect import collect
from utils.results.lean import Leaner
from utils.results.verdict import compare, ledger, matching, present

PAIR = ROOT / "kernels/minimax_m3_ep/results/2026-11-27-h100-pair"
H100 = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server"


def same(one: Record) -> Record:
    """A record as it is."""
    return one


def failing(one: Record) -> Record:
    """The head's answers are others than the base's."""
    worse = [each.model_copy(update={"verdict": "failed"}) for each in one.accuracy if one.arm == "head"]
    return one.model_copy(update={"accuracy": worse or one.accuracy})


@pytest.mark.parametrize(
    ("folder", "makes"),
    [(H100, same), (PAIR, same), (PAIR, failing)],
    ids=["bare", "with power and parity", "failed"],
)
def test_a_verdict_does_not_know_the_difference(
    monkeypatch: pytest.MonkeyPatch, folder: Path, makes: Callable[[Record], Record]
) -> None:
    """To the letter, on real records of both arms, as where there are more than are kept whole."""
    monkeypatch.setattr("utils.results.collect.FEW", 0)
    found = []
    for keep in (same, Leaner()):

        def read(one: Record, keep: Callable[[Record], Record] = keep) -> Record:
            return keep(makes(one))

        base, head = matching.arms(collect([folder], keep=read))
        known = compare.compare(base, head, ledger.read(Path("/nowhere")))
        found.append((known.to_json(), present.markdown(known)))
    assert found[0] == found[1]
    assert ("its answers are not the base" in found[1][1]) == (makes is failing)
    assert ("W/device" in found[1][1]) == (folder == PAIR and makes is same)


def test_a_label_of_saturation_is_the_whole_records() -> None:
    """What its sentence is made of is kept where the server was saturated, and only there."""
    one = collect([H100])[0]
    assert one.counters
    full = one.model_copy(
        update={
            "server": ServerWindow(saturated=True, kv_use_max=1.0),
            "counters": one.counters.model_copy(update={"preemptions": 3}),
        }
    )
    assert "3 preemptions" in saturation.of(full)
    assert saturation.of(Leaner()(full)) == saturation.of(full)
    assert Leaner()(one).counters is None


def test_many_records_take_little_memory() -> None:
    """Below 10 KB a record, so that 10,000 an arm stay below 400 MB: 370 MB were measured for the whole command, at 8 KB each."""
    path = next(iter(sorted(PAIR.glob("run-1-head/*/record.json"))))
    text = path.read_bytes()
    keep = Leaner()
    gc.collect()
    tracemalloc.start()
    kept = [keep(record_file.read(path)) for _ in range(200)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(kept) < 10_000, f"{held / len(kept):.0f} bytes a record of {len(text)} bytes"
    assert kept[0].node is kept[1].node
    assert kept[0].parts is kept[1].parts
