"""Lean records give the same verdict as whole ones, and hold what they share once."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from tests.conftest import ROOT
from utils.node import record_file
from utils.results.collect import collect
from utils.results.lean import Leaner
from utils.results.verdict import compare, ledger, matching, present

H100 = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server"


def test_a_verdict_does_not_know_the_difference() -> None:
    """To the letter, on real records of both arms."""
    found = []
    for keep in (lambda one: one, Leaner()):
        base, head = matching.arms(collect([H100], keep=keep))
        known = compare.compare(base, head, ledger.read(Path("/nowhere")))
        found.append((known.to_json(), present.markdown(known)))
    assert found[0] == found[1]


def test_many_records_take_little_memory() -> None:
    """Below 17 KB a record, so that 10,000 an arm stay below 400 MB: 362 MB were measured for the whole command, at 18 KB each with all else."""
    path = next(iter(sorted(H100.rglob("record.json"))))
    text = path.read_bytes()
    keep = Leaner()
    gc.collect()
    tracemalloc.start()
    kept = [keep(record_file.read(path)) for _ in range(200)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(kept) < 17_000, f"{held / len(kept):.0f} bytes a record of {len(text)} bytes"
    assert kept[0].node is kept[1].node
    assert kept[0].parts is kept[1].parts
