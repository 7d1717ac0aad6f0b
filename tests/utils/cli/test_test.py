"""`test` runs what it says, and each part of it can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from utils.cli.test import steps

BREAKS = {
    "ruff check": ("matrix/key.py", "import os\n"),
    "ruff format": ("matrix/key.py", "A   =  1\n"),
    "mypy": ("matrix/key.py", "A: int = 'text'\n"),
    "import directions": ("matrix/key.py", "import utils.cli.main\n"),
    "dead code": ("matrix/key.py", "def never_called() -> None: ...\n"),
    "check": ("recipes/qwen3moe-tiny-cpu-vllm.yaml", "colour: red\n"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree's own files, without environments."""
    root = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((ROOT / name).read_bytes())
    return root


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_found(copy: Path, name: str) -> None:
    """Each linter fails on a file that is wrong for it."""
    command = dict(steps(quick=True, slurm=False, rest=[]))[name]
    file, text = BREAKS[name]
    old = (copy / file).read_text()
    (copy / file).write_text(old + text)
    try:
        env = environment() | {"PYTHONPATH": str(copy)}
        done = subprocess.run(
            [sys.executable, *command], cwd=copy, env=env, capture_output=True, text=True, check=False
        )
    finally:
        (copy / file).write_text(old)
    assert done.returncode != 0, done.stdout + done.stderr


def test_quick_leaves_out_what_must_be_installed() -> None:
    """The real vLLM, Slurm, and the tools of Debian packages; everything else is always run."""
    assert [name for name, _ in steps(quick=True, slurm=False, rest=[])] == [*BREAKS, "pytest"]
    assert dict(steps(quick=True, slurm=False, rest=["-x"]))["pytest"] == [
        *("-m", "pytest", "-m", "not real and not slurm and not nightly and not debian", "-n", "2", "-x")
    ]
    everything = dict(steps(quick=False, slurm=False, rest=[]))
    # every test is in one of four: nightly, real, slurm and not real, or none of them
    assert everything["pytest"] == ["-m", "pytest", "-m", "not real and not slurm and not nightly", "-n", "2"]
    assert everything["pytest that measures"] == ["-m", "pytest", "-m", "real and not nightly"]
    assert everything["pytest on kernels"][-1] == "tests/kernels", (
        "in its own environment; the others leave that folder out"
    )
    assert everything["pytest on Slurm"][2:4] == ["-m", "slurm and not real and not nightly"]
    assert list(dict(steps(quick=False, slurm=True, rest=[]))) == ["pytest on Slurm"]
    ((_, at_night),) = steps(quick=False, slurm=False, nightly=True, rest=[])
    assert at_night == ["-m", "pytest", "-m", "nightly"]


def test_the_linter_reads_every_file() -> None:
    """An exclusion that matches more than it was meant for hides code: `results` once hid utils/results."""
    ruff = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    shown = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    read = {str(Path(line).relative_to(ROOT)) for line in shown.splitlines() if line.endswith(".py")}
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert read >= set(listed.stdout.split())
