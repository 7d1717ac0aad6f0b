"""Many points through the local launcher while anything is killed at random: nothing is lost, doubled or left. With the FAKE vLLM."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import RECIPE, command, environment, write
from tests.utils.node.test_faults import nothing_is_left, records
from utils.node.process import descendants


def victims(launcher: int) -> list[int]:
    """Everything that the launcher started, and itself."""
    return [*descendants(launcher), launcher]


@pytest.mark.parametrize(
    ("jobs", "kills"), [(3, 3), pytest.param(100, 60, marks=[pytest.mark.nightly])], ids=["short", "night"]
)
def test_a_soak_with_random_kills(
    tree: Path, fake_environment: Path, tmp_path: Path, jobs: int, kills: int
) -> None:
    """The same command again and again, until it ends well: each point is measured once, within its gates."""
    draw = random.Random(jobs)  # noqa: S311 - moments, not secrets
    more = "".join(
        f"- {{isl: 32, osl: {17 + n}, search: [{{tp: 1, concurrency: 1..2}}]}}\n" for n in range(jobs - 1)
    )
    write(tree / "recipes/r.yaml", RECIPE + more)
    out, temporary = tmp_path / "out", tmp_path / "t"
    temporary.mkdir()
    where = ["--tree", str(tree), "--environment", str(fake_environment), "--out", str(out)]
    code = -1
    for _ in range(3 * kills + 3):
        launcher = subprocess.Popen(
            command("run", "r", *where),
            env=environment({"TMPDIR": str(temporary)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if kills > 0:
            time.sleep(draw.uniform(1.0, 8.0))
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(victims(launcher.pid)), draw.choice([signal.SIGKILL, signal.SIGTERM]))
            kills -= 1
        code = launcher.wait(3600)
        if code == Exit.OK:
            break
    assert code == Exit.OK
    found = records(out / "jobs")
    assert len(found) == 2 * jobs == len({one.point for one in found})
    assert {one.status for one in found} == {"measured"}
    assert all(gate.passed for one in found for gate in one.gates)
    end = time.monotonic() + 20
    while not nothing_is_left(out) and time.monotonic() < end:
        time.sleep(0.2)
    assert nothing_is_left(out)
