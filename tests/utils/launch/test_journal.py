"""What a launcher keeps of a job, and what it sets aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import HarnessError
from utils.launch.journal import Notebook
from utils.node import files, record
from utils.results.collect import collect


def test_what_was_set_aside_by_a_launcher_that_was_killed_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between moving results and saying why, it had not said yet that nobody judges them."""
    results = tmp_path / "jobs/j"
    found = results / "run-0-head/p" / record.FILE
    found.parent.mkdir(parents=True)
    found.touch()
    notes, real = Notebook(tmp_path, "j"), files.write_whole

    def killed(path: Path, content: bytes) -> None:
        if (path.parent / "run-0-head").exists():
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(files, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        notes.set_aside(results, 0, "infra: the node was lost")
    assert not found.exists()
    assert list(tmp_path.rglob(record.FILE))
    with pytest.raises(HarnessError, match=f"no {record.FILE} below"):
        collect([tmp_path])
