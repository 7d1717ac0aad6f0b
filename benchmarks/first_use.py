"""From a fresh clone to the first plan, beside pip installing the same lock: in turns, on the machine that is there.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/first_use.py

Both make an environment of their own and fetch from the index that pip is configured with; pip's and uv's caches are
emptied before each, so that every package is fetched.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT
from utils.setup import installers

ROUNDS = 3
LIMIT_S = 30.0
PYTHON = installers.python_with_pip()


def fresh(folder: Path) -> dict[str, str]:
    """An environment whose caches are empty."""
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PIP_CACHE_DIR": str(folder / "pip"),
        "SERVEMATRIX_PYTHON": PYTHON,
    }


def first_plan() -> float:
    """`./servematrix plan` in a fresh clone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
        start = time.monotonic()
        subprocess.run(
            [str(folder / "clone/servematrix"), "plan"], check=True, capture_output=True, env=fresh(folder)
        )
        return time.monotonic() - start


def by_pip() -> float:
    """`pip install` of harness.lock in a new venv."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lock = str(ROOT / "requirements/harness.lock")
        start = time.monotonic()
        subprocess.run([PYTHON, "-m", "venv", str(folder / "venv")], check=True, env=fresh(folder))
        command = [
            str(folder / "venv/bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            lock,
        ]
        subprocess.run(command, check=True, capture_output=True, env=fresh(folder))
        return time.monotonic() - start


def main() -> None:
    """Print medians and the ratio."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(first_plan())
        theirs.append(by_pip())
    us, them = statistics.median(ours), statistics.median(theirs)
    print(
        f"first plan {us:.1f} s (limit {LIMIT_S:.0f} s), pip install of the same lock {them:.1f} s, ratio {us / them:.2f}"
    )
    sys.exit(us > LIMIT_S)


if __name__ == "__main__":
    main()
