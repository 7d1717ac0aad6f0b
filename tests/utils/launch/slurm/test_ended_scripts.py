"""Batch scripts that a signal ends: what their last word says then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from matrix.errors import Exit
from tests.utils.launch.slurm.test_batch import in_bash, rendered, some_attempts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("when", "runs", "code"),
    [
        ("gone() { kill -TERM $$; }", 1, Exit.CANCELLED),
        ("mkdir() { kill -TERM $$; return 143; }", 0, Exit.CANCELLED),
        ("gone() { [ $1 != $out/run-1-head/stderr.log ] || kill -TERM $$; }", 2, Exit.OK),
        ("in_run_0_head() { echo ran >&3; return 42; }; gone() { kill -TERM $$; }", 1, Exit.CANCELLED),
    ],
    ids=["between two runs", "while a folder is made", "after the last run", "after gates"],
)
def test_a_signal_outside_of_runs_is_a_cancelling(tmp_path: Path, when: str, runs: int, code: Exit) -> None:
    """No run is there to say so; the job did not end well, and a mkdir that was ended tells nothing of the disk."""
    script = next(text for text in map(rendered, some_attempts().values()) if "_server() {" not in text)
    ours = ["main", "start", "measure", "finish", "clear_away", "say", "beside", "end"]
    ours += ["agree", "take"] if "take() {" in script else []
    names = ["begin", "outside", "alone", "meter", "canary", "witness", "gone"]
    stubs = "".join(f"{name}() {{ :; }}\n" for name in names)
    stubs += "".join(f"in_run_{number}_head() {{ echo ran >&3; }}\n" for number in range(2))
    (tmp_path / "work/payload").mkdir(parents=True)
    (tmp_path / "work/payload/found.json").touch()
    done = in_bash(script, f"exec 3>&1\nwork={tmp_path}/work\n{stubs}{when}\nmain", tmp_path, *ours)
    assert (done.stdout.count("ran"), done.returncode) == (runs, code), done
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])["facts"]["exit"] == code
