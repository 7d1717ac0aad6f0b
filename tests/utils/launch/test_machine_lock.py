"""Two runs on one machine, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.launch import machine_lock
from utils.launch.machine_lock import alone_on_the_machine

HOLD = """
import sys, time
from utils.launch.machine_lock import alone_on_the_machine
with alone_on_the_machine(print):
    print("mine", flush=True)
    time.sleep(60)
"""

HOLD_IN_ITS_OWN_NETWORK = (
    f"from utils.launch import machine_lock; machine_lock._taken = lambda _: True\n{HOLD}"
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
