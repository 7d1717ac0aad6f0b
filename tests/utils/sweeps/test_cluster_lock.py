"""One sweep at a time on a cluster, between processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT
from utils.sweeps import cluster_lock

JOB = """
import sys, time
from pathlib import Path
from utils.sweeps import cluster_lock
cluster_lock.POLL_S = 0.05
folder, cluster, sweep, log = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
with cluster_lock.held(folder, cluster, sweep, print):
    with log.open("a") as file:
        print("begin", sweep, file=file)
    time.sleep(float(sys.argv[5]))
    with log.open("a") as file:
        print("end", sweep, file=file)
"""


def job(folder: Path, sweep: str, seconds: float, cluster: str = "mi300x") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", JOB, str(folder), cluster, sweep, str(folder / "log"), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_sweeps_take_turns_and_jobs_of_one_sweep_do_not(tmp_path: Path) -> None:
    """Twelve jobs of four sweeps at once: while jobs of one are at work, none of another is."""
    jobs = [job(tmp_path, f"run {number % 4}", 0.3) for number in range(12)]
    for one in jobs:
        assert one.wait(60) == 0
    at_work: list[str] = []
    together = 0
    for line in (tmp_path / "log").read_text().splitlines():
        what, sweep = line.split(" ", 1)
        if what == "end":
            at_work.remove(sweep)
            continue
        assert set(at_work) <= {sweep}
        at_work.append(sweep)
        together = max(together, len(at_work))
    assert together > 1, "jobs of one sweep share the cluster"


def test_another_cluster_and_a_killed_holder_do_not_matter(tmp_path: Path) -> None:
    """Whoever waits is told of whom; what the kernel takes back with the process needs no hand."""
    holder = job(tmp_path, "run 1", 60)
    while not (tmp_path / "log").exists():
        time.sleep(0.02)
    assert job(tmp_path, "run 2", 0, "h100").wait(30) == 0
    told: list[str] = []

    def sleep(_: float) -> None:
        holder.kill()
        holder.wait()

    with cluster_lock.held(tmp_path, "mi300x", "run 2", told.append, sleep):
        assert told == ["mi300x is running on run 1; waiting for it"]
