"""What the base's first run leaves for those after it, carried by the batch script: run in bash, as it is rendered for a pair."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.plan import Side
from tests.utils.launch.slurm.test_batch import rendered, some_attempts
from utils.launch.slurm import batch

ANSWERS = "parity-1k1k-tp8-ep8-c256.json.gz"


@pytest.fixture(scope="module")
def script() -> str:
    """Of a job in containers, with two arms of one point."""
    found = some_attempts().values()
    attempt = next(one for one in found if one.contained and any("c256" in p.id for p in one.job.points))
    points = [one for one in attempt.job.points if one.id.endswith("/1k1k-tp8-ep8-c256")]
    pair = attempt.job.model_copy(
        update={
            "points": points,
            "base": Side(points=points, serve=attempt.job.serve),
            "arms": ["base", "head", "head", "base"],
        }
    )
    return rendered(replace(attempt, job=pair))


def agreed(script: str, arm: str, box: Path, out: Path) -> None:
    """The script's own lines after a run of an arm, in its folders."""
    functions = [
        re.search(rf"^{name}\(\) {{.*?^}}", script, re.DOTALL | re.MULTILINE) for name in ("agree", "take")
    ]
    bodies = "\n".join(one[0] for one in functions if one)
    assert "take()" in bodies
    calls = [
        line.strip() for line in script.splitlines() if " agree " in f" {line.strip()} " and "()" not in line
    ]
    lines = "\n".join(calls).replace('"$work/box/$1/agreed"', f'"{box}"')
    subprocess.run(
        ["bash", "-uc", f'{bodies}\nout="{out}"\nset -- run {arm}\n{lines}\ntrue'],
        check=True,
        timeout=20,
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """What a run may write to, and where no container does."""
    for name in ("agreed", "out"):
        (tmp_path / name).mkdir()
    return tmp_path / "agreed", tmp_path / "out"


def test_only_the_base_gives_answers_and_only_once(script: str, folders: tuple[Path, Path]) -> None:
    """The number of requests is whoever's came first; a head's answers go nowhere."""
    box, out = folders
    for name in ("requests.json", ANSWERS, "more.json"):
        (box / name).write_text("head's")
    agreed(script, "head", box, out)
    assert {path.name for path in out.iterdir()} == {"requests.json"}
    (box / ANSWERS).write_text("base's")
    agreed(script, "base", box, out)
    (box / ANSWERS).write_text("base's, later")
    agreed(script, "base", box, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "requests.json": "head's",
        ANSWERS: "base's",
    }
    assert f'[ ! -e "$out/"{ANSWERS} ] || cp "$out/"{ANSWERS} "$work/box/$1/agreed/"' in script


@pytest.mark.hostile
@pytest.mark.parametrize("harm", ["link", "pipe", "folder", "folder that is a link", "too large"])
def test_what_is_no_file_is_not_carried(script: str, folders: tuple[Path, Path], harm: str) -> None:
    """No link is followed, no pipe waited for, and a disk not filled."""
    box, out = folders
    path = box / ANSWERS
    if harm == "link":
        path.symlink_to("/etc/passwd")
    elif harm == "pipe":
        os.mkfifo(path)
    elif harm == "folder":
        path.mkdir()
    elif harm == "too large":
        with path.open("wb") as file:
            file.truncate(batch.AGREED_BYTES + 1)
    else:
        elsewhere = box.rename(box.with_name("elsewhere"))
        (elsewhere / ANSWERS).write_text("x")
        box.symlink_to(elsewhere)
    agreed(script, "base", box, out)
    assert list(out.iterdir()) == []
