"""How a job of several runs goes on after one that failed, and what it says in the end."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from matrix.errors import Exit
from utils.node import run, scratch


@pytest.mark.parametrize(
    ("codes", "made", "wanted"),
    [
        ((Exit.GATE_FAILED, Exit.SERVER_EXITED, Exit.OK), 2, Exit.SERVER_EXITED),
        ((Exit.GATE_FAILED, Exit.STORAGE_FULL, Exit.OK), 2, Exit.STORAGE_FULL),
        ((Exit.GATE_FAILED, Exit.SERVER_DIED, Exit.OK), 3, Exit.GATE_FAILED),
        ((Exit.OUT_OF_MEMORY, Exit.SERVER_EXITED, Exit.OK), 2, Exit.OUT_OF_MEMORY),
        ((Exit.OK, Exit.OK, Exit.OK), 3, Exit.OK),
    ],
)
def test_gates_hide_no_server_that_did_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: tuple[Exit, ...], made: int, wanted: Exit
) -> None:
    """The runs after it are not begun, so that the job has not ended well, and its points need their reason."""
    runs = [mock.Mock(**{"execute.return_value": code}) for code in codes]
    begun = iter(runs)
    monkeypatch.setattr(scratch, "prepare", lambda _: (tmp_path, []))
    monkeypatch.setattr(run, "_Run", lambda *_: next(begun))
    assert run.run_job(mock.Mock(runs=runs, canary=False), mock.Mock()) is wanted
    assert [one.execute.called for one in runs] == [number < made for number in range(3)]
