"""Two runs on one machine, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.node.host import machine_lock
from utils.node.host.machine_lock import WAITS, Wanted, alone_on_the_machine, held

HOLD = """
import sys, time
from utils.node.host.machine_lock import alone_on_the_machine
with alone_on_the_machine(print):
    print("mine", flush=True)
    time.sleep(60)
"""

HOLD_IN_ITS_OWN_NETWORK = (
    f"from utils.node.host import machine_lock; machine_lock._taken = lambda *_: True\n{HOLD}"
)
"""Names of sockets are of a network namespace: there every one is free, and says nothing here."""


def test_the_second_waits_says_so_and_goes_on_when_the_first_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of SIGKILL: nothing is left that a person must remove."""
    monkeypatch.setenv(machine_lock.ANOTHER, "-test-of-the-lock")
    told: list[str] = []
    start = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "mine\n"

        def tell(text: str) -> None:
            told.append(text)
            first.kill()

        with alone_on_the_machine(tell):
            assert time.monotonic() - start < 50
    assert told == ["another run is measuring on this machine; this one starts when that has ended"]
    with alone_on_the_machine(told.append):
        pass
    assert len(told) == 1


def test_a_run_in_a_network_of_its_own_waits_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has the same cores, and names of sockets of its own; the file may be another user's, and stays."""
    monkeypatch.setenv(machine_lock.ANOTHER, f"-test-{tmp_path.name}-{os.getpid()}")
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_IN_ITS_OWN_NETWORK], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == "mine\n"

        def tell(text: str) -> None:
            told.append(text)
            first.kill()

        with alone_on_the_machine(tell):
            first.kill()
    path = machine_lock.FOLDER / f"{machine_lock.NAME}{os.environ[machine_lock.ANOTHER]}.lock"
    path.unlink()
    assert len(told) == 1
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(machine_lock, "FOLDER", tmp_path / "missing")
        with alone_on_the_machine(told.append):
            pass
    assert len(told) == 1


HOLD_SOME = """
import sys, time
from utils.node.host.machine_lock import Wanted, held
with held(Wanted((0, 1), ("2",)), print) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted((2, 3), ("0", "1")), []),
        (Wanted((), ("3",)), []),
        (Wanted((1, 2)), [WAITS]),
        (Wanted((), ("2",)), [WAITS]),
        (Wanted((), whole=True), [WAITS]),
        (Wanted((0,), whole=True), [WAITS]),
    ],
)
def test_allocations_of_other_cores_and_gpus_run_together_and_others_wait(
    wanted: Wanted, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler gives two jobs of a node different ones; where it does not, or beside a local run, one waits, for a bounded time."""
    monkeypatch.setenv(machine_lock.ANOTHER, f"-test-some-{os.getpid()}")
    told: list[str] = []
    with subprocess.Popen([sys.executable, "-c", HOLD_SOME], stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout
            assert first.stdout.readline() == "True\n"
            with held(wanted, told.append, 0.0) as alone:
                assert alone is (not said)
        finally:
            first.kill()
    assert told == said
    with held(wanted, told.append, 5.0) as alone:
        assert alone
    (machine_lock.FOLDER / f"{machine_lock.NAME}{os.environ[machine_lock.ANOTHER]}.lock").unlink()


def test_what_an_allocation_has_is_what_the_scheduler_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores only where it is bound to them: a scheduler that binds nobody shows each job the cores of all."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6, 7})
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,2-4,")
    assert machine_lock.of_allocation() == Wanted((4, 5, 6, 7), ("0", "2", "3", "4"))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    monkeypatch.delenv("SLURM_JOB_GPUS")
    assert machine_lock.of_allocation() == Wanted(())
    monkeypatch.delenv("SLURM_CPUS_ON_NODE")
    assert machine_lock.of_allocation() == Wanted(())
