"""What others do on the machine, from a MADE /proc."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from utils.node import machine
from utils.node.machine import TICKS


def proc(root: Path, work: int, steal: int = 0, *, pressure: bool = True) -> Path:
    """Two cores; core 1 did `work` seconds."""
    lines = [
        "cpu  1 1 1 1 1 1 1 1 1 1",
        f"cpu0 {5 * TICKS} 0 0 {100 * TICKS} 7 0 0 0 0 0",
        f"cpu1 {work * TICKS} 0 0 {50 * TICKS} 3 0 0 {steal * TICKS} {9 * TICKS} 0",
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "stat").write_text("\n".join(lines) + "\nintr 1 2\n")
    (root / "loadavg").write_text("3.50 2.00 1.00 1/200 4711\n")
    if pressure:
        (root / "pressure").mkdir(exist_ok=True)
        (root / "pressure/cpu").write_text(
            f"some avg10=1.00 avg60=0.00 avg300=0.00 total={work * 500_000}\nfull avg10=0.00 total=0\n"
        )
        (root / "pressure/memory").write_text(
            f"some avg10=0.00 avg60=0.00 avg300=0.00 total=99999999\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={work * 150_000}\n"
        )
    return root


def test_others_are_what_is_not_ours(tmp_path: Path) -> None:
    """Idle, iowait and guest time are no work; steal is counted apart."""
    one, other = machine.read(proc(tmp_path, 10)), machine.read(proc(tmp_path, 18, steal=2))
    before, after = replace(one, at_s=100.0), replace(other, at_s=110.0)
    found = machine.between(before, after, ours_s=5.0, cores=[1])
    assert found.foreign_core_s == pytest.approx(3)
    assert found.foreign_share == pytest.approx(0.3)
    assert found.steal_share == pytest.approx(0.1)
    assert found.cpu_pressure_share == pytest.approx(0.4)
    assert found.memory_stall_share == pytest.approx(0.12)
    assert found.load_1min == 3.5
    assert machine.between(before, after, ours_s=8.0, cores=[]).foreign_share == 0
    assert machine.remarks(found) == [
        "others used 30 % of the cores that it is pinned to (load average 3.5)",
        "the hypervisor took 10 % of the cores' time",
        "for 12 % of the load all waited for memory",
    ]


def test_a_kernel_that_shows_little(tmp_path: Path) -> None:
    """Nothing is made up."""
    silent = machine.read(proc(tmp_path / "a", 1, pressure=False))
    assert (silent.pressure_s, silent.memory_s) == (None, None)
    empty = machine.read(tmp_path / "nothing")
    found = machine.between(empty, empty, 0.0, [0])
    assert (found.foreign_share, found.steal_share, found.load_1min) == (None, None, None)
    assert machine.remarks(found) == []


def test_this_machine_is_read() -> None:
    """The real /proc."""
    found = machine.read()
    assert found.cores >= 1
    assert sum(found.busy_s.values()) > 0
    assert found.load_1min is not None
