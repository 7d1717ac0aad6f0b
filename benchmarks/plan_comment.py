"""From a pull request's event to the comment with its plan, in our own time: both jobs as act runs them, on a machine that was never used.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/plan_comment.py

Each job makes its light environment first, as on a fresh runner. Beside it, in turns: the whole environment of `.venv`.
What GitHub takes to start a job and to fetch the code is not ours, and not in it. The API is the tests' stand-in.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.github.acting import Acted, Acting, planned_and_said
from tests.github.standin import StandIn

ROUNDS = 5
LIMIT_S = 10.0


def seconds(done: Acted, step: str) -> float:
    """What act says that a step took."""
    if done.code:
        raise SystemExit(done.text)
    return next(
        float(line["executionTime"]) / 1e9
        for line in done.lines
        if line.get("step") == step and line.get("stage") == "Main" and "executionTime" in line
    )


def chain() -> tuple[float, float]:
    """The two steps."""
    folder = Path(tempfile.mkdtemp(prefix="servematrix-"))
    try:
        with StandIn() as stand_in:
            planned, said, _ = planned_and_said(Acting(stand_in, folder, lends=False))
        return seconds(planned, "Plan"), seconds(said, "Comment")
    finally:
        shutil.rmtree(folder)


def whole_environment() -> float:
    """`./servematrix doctor` in a fresh clone."""
    folder = Path(tempfile.mkdtemp(prefix="servematrix-"))
    try:
        subprocess.run(["git", "clone", "-q", ROOT, folder / "clone"], check=True)
        start = time.monotonic()
        subprocess.run([folder / "clone/servematrix", "doctor"], check=False, capture_output=True)
        return time.monotonic() - start
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print medians and their ratio."""
    chains, wholes = [], []
    for _ in range(ROUNDS):
        chains.append(chain())
        wholes.append(whole_environment())
    plan, comment = (statistics.median(values) for values in zip(*chains, strict=True))
    both, whole = statistics.median(map(sum, chains)), statistics.median(wholes)
    print(f"plan {plan:.2f} s, comment {comment:.2f} s, both {both:.2f} s (of {LIMIT_S:.0f} s)")
    print(f"the whole environment once: {whole:.2f} s; both jobs take {both / whole:.2f} of that")


if __name__ == "__main__":
    main()
