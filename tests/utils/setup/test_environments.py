"""Which Python an environment is made with, where the first one does not get every package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from utils.setup import environments, pythons


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock, with environments in a folder of their own and two other Pythons."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path / ".environments")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_others", lambda: ["/opt/python3.10", "/opt/python3.11"])
    made = tmp_path / "vllm.lock"
    made.write_text("x==1\n")
    return made


def makes(monkeypatch: pytest.MonkeyPatch, *refused: str) -> None:
    """FAKE: uv gets every package for all Pythons but these."""

    def make(environment: environments.Environment, _: Path, python: str) -> None:
        if python in refused:
            raise HarnessError(Exit.SETUP_FAILED, f"no wheel for {python}")
        (environment.folder / "lib/python3.11/site-packages").mkdir(parents=True)

    monkeypatch.setattr(environments, "_make", make)


def test_another_python_is_named(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is tried, and at the end the one that it runs on."""
    makes(monkeypatch, sys.executable, "/opt/python3.10")
    told: list[str] = []
    environments._ensure("v", lock, told.append, any_python=True)
    assert told[1].endswith("trying another Python of this machine, /opt/python3.10")
    assert told[2].startswith("/opt/python3.10 did not get every package of vllm.lock")
    assert told[3] == f"v runs on /opt/python3.11; servematrix itself stays on {sys.executable}"


def test_the_first_needs_no_word(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that it is made."""
    makes(monkeypatch)
    told: list[str] = []
    environments._ensure("v", lock, told.append, any_python=True)
    assert len(told) == 1


def test_where_none_gets_them_the_error_is_the_last_ones(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And other environments try no other Python."""
    makes(monkeypatch, sys.executable, "/opt/python3.10", "/opt/python3.11")
    for any_python, last in ((True, "/opt/python3.11"), (False, sys.executable)):
        with pytest.raises(HarnessError, match=f"no wheel for {last}"):
            environments._ensure("v", lock, list[str]().append, any_python=any_python)


def test_a_python_that_no_lock_holds_for_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail with an error that a person then reads, and takes for the cause."""
    there = {(3, 10): "/a", (3, 11): "/b", sys.version_info[:2]: "/mine", (3, 99): "/c"}
    monkeypatch.setattr(pythons, "found", lambda: there)
    assert environments._others() == [there[one] for one in ((3, 11), (3, 99)) if one != sys.version_info[:2]]
