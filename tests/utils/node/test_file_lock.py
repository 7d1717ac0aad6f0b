"""Folders on file systems without locks: NFS without lockd, Lustre without -o flock."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from utils.launch.lease import is_free
from utils.launch.quarantine import Quarantine
from utils.launch.slurm.poll import Poll
from utils.node import file_lock
from utils.results.verdict import ledger_file
from utils.setup import environments


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As such a file system answers."""

    def flock(_file: object, _how: int) -> None:
        raise OSError(request.param, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def ledger(folder: Path) -> None:
    with ledger_file.locked(folder / "ledger.jsonl"):
        pass


def environment(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "FOLDER", folder)
        with environments._locked("dev"):
            pass


def results(folder: Path) -> None:
    (folder / "launch").mkdir()
    (folder / "launch/lock").touch()
    is_free(folder)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    ("use", "cure"),
    [
        (lambda folder: Poll(folder, 1.0, query=str).refresh(), "XDG_STATE_HOME"),
        (lambda folder: Poll(folder, 1.0, query=str).check(), "XDG_STATE_HOME"),
        (lambda folder: Quarantine(folder).clear(None), "XDG_STATE_HOME"),
        (results, "--out"),
        (ledger, "--ledger"),
        (environment, "checkout"),
    ],
)
def test_a_file_system_without_locks_is_named_with_the_way_out(
    tmp_path: Path, use: Callable[[Path], object], cure: str
) -> None:
    """One sentence, and no traceback."""
    with pytest.raises(HarnessError) as caught:
        use(tmp_path)
    assert caught.value.exit_code is Exit.SETUP_FAILED
    assert f"{tmp_path}" in caught.value.message
    assert "without locks" in caught.value.message
    assert cure in caught.value.message


def test_another_error_of_a_lock_is_not_taken_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays what it is."""

    def flock(_file: object, _how: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (tmp_path / "x").open("w") as file, pytest.raises(OSError, match="Input/output"):
        file_lock.hold(file, tmp_path, "x")


def test_a_state_folder_that_cannot_be_written_is_named_before_anything_is_submitted(tmp_path: Path) -> None:
    """A home that is read-only on this machine."""
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="XDG_STATE_HOME") as caught:
        Poll(tmp_path / "file/state", 1.0, query=str).check()
    assert caught.value.exit_code is Exit.SETUP_FAILED
