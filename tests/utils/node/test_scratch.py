"""Folders of killed jobs are cleared by the next one, and by nobody else's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import environment
from utils.node import preflight, scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by_a_killed_one(temporary: Path) -> Path:
    code = "from utils.node import scratch; import time; print(scratch.make('x'), flush=True); time.sleep(60)"
    one = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment({"TMPDIR": str(temporary)}),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert one.stdout
    folder = Path(one.stdout.readline().strip())
    assert scratch.clear_dead() == [], "its owner is alive"
    one.send_signal(signal.SIGKILL)
    one.wait()
    one.stdout.close()
    return folder


def test_what_a_killed_process_left_is_cleared(temporary: Path) -> None:
    """Not while it lives, and not what has no note, as a spool of Slurm's that is named alike."""
    (temporary / "sm-1000").mkdir()
    folder = left_by_a_killed_one(temporary)
    mine = scratch.make("y")
    assert folder.parent == temporary
    assert scratch.clear_dead() == [folder]
    assert sorted(temporary.iterdir()) == sorted([temporary / "sm-1000", mine])


@pytest.mark.parametrize(
    ("change", "cleared"),
    [
        ({"host": "another"}, False),
        ({"space": "pid:[1]"}, False),
        ({"boot": "before"}, True),
        ({"pid": "x"}, False),
    ],
)
def test_only_what_this_machine_can_know(
    temporary: Path, change: dict[str, object], *, cleared: bool
) -> None:
    """A number of a process means nothing on another machine or in another container; after a new start all are gone."""
    note = left_by_a_killed_one(temporary) / scratch.OWNER
    note.write_text(json.dumps({**json.loads(note.read_text()), **change}))
    assert bool(scratch.clear_dead()) is cleared


def test_a_number_that_is_used_again_is_another_process(temporary: Path) -> None:
    """Its start time differs."""
    note = left_by_a_killed_one(temporary) / scratch.OWNER
    note.write_text(json.dumps({**json.loads(note.read_text()), "pid": os.getpid()}))
    assert scratch.clear_dead() == [note.parent]


def test_the_same_allocation_has_the_same_folder() -> None:
    """Unless one that was killed left it."""
    first = scratch.make("x")
    second = scratch.make("x")
    assert second.name.startswith(f"{first.name}-")
    scratch.clear("x")
    assert scratch.make("x") == first


def test_preflight_looks_at_it(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full one is named, with what to set."""
    assert preflight.scratch(temporary).passed
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    found = preflight.scratch(temporary)
    assert not found.passed
    assert "set TMPDIR" in found.cause


def test_a_long_tmpdir_is_told_before_a_server_fails_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path has 108 bytes; vLLM's own error comes minutes later, and names a path that nobody set."""
    for length, told in ((40, False), (56, False), (57, True), (90, True)):
        monkeypatch.setattr(tempfile, "tempdir", f"/{'x' * (length - 1)}")
        folder = Path(tempfile.gettempdir()) / scratch.name("a")
        assert bool(scratch.remark(folder)) is told, length
        socket = folder / "t" / ("u" * 36)
        assert (len(str(socket)) > 107) is told
    assert "TMPDIR=/tmp" in scratch.remark(folder)


def test_a_tmpdir_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a job whose folder was cleared away while its program began; /tmp would keep what it leaves."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(HarnessError, match="which is no folder that can be written; make it") as failed:
        scratch.make("a")
    assert failed.value.exit_code is Exit.SETUP_FAILED


def test_a_blank_in_tmpdir_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hands names of files to a compiler, which takes one with a blank for two; the server's error is a page long."""
    folder = tmp_path / "my files"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    told = scratch.prepare("blank")[1]
    assert any(f"TMPDIR {folder} has a blank in it" in one and "TMPDIR=/tmp" in one for one in told)
