"""What the harness costs on Slurm, beside bare Slurm on the same throw-away cluster (root, and Debian's Slurm packages).

    PYTHONPATH=. .environments/dev/bin/python benchmarks/slurm.py

1. From `sbatch` to the first line of the node program, against a bare `sbatch` of `true`, in turns.
2. Queries of the controller while launchers watch 200 jobs.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

from tests.slurm.cluster import Cluster
from tests.slurm.site import Site, base_folder, hidden, wrapper

REPEATS = 9
LIMIT_S = 1.5
JOBS, LAUNCHERS, POLL_S, WATCH_S = 200, 4, 0.5, 10.0
WATCH = """\
import sys, time
from pathlib import Path
from utils.launch.slurm.poll import Poll
poll, end, most = Poll(Path(sys.argv[1]), float(sys.argv[2])), time.monotonic() + float(sys.argv[3]), 0
while time.monotonic() < end:
    poll.refresh()
    most = max(most, len(poll.jobs))
    time.sleep(0.1)
print(most)
"""


def bare(site: Site, number: int) -> float:
    """Seconds from `sbatch` until `true` had run, by the clock that the job itself wrote down."""
    stamp = site.base / "nfs" / f"bare-{number}"
    script = f"#!/bin/sh\n#SBATCH --partition=compute --gres=gpu:8 --output=/dev/null\ntrue; date +%s.%N >{stamp}\n"
    start = time.time()
    subprocess.run(
        ["sbatch", "--wait"], input=script, text=True, check=True, env=site.env, stdout=subprocess.DEVNULL
    )
    return float(stamp.read_text()) - start


def ours(site: Site, storage: str) -> float:
    """Seconds from just before `sbatch` until the node program's first event, of the canary's container start."""
    site.fresh()
    done = site.call(
        "run",
        f"{storage}/32x16-tp1-c1",
        "--environment",
        str(site.environment),
        "--out",
        str(site.out(storage)),
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    (script,) = (site.out(storage) / "launch").glob("*.0.sh")
    (events,) = (site.out(storage) / "jobs").glob("*/events.jsonl")
    first = next(one for one in map(json.loads, events.read_text().splitlines()) if one["kind"] == "run")
    to_wall = time.time() - time.monotonic()  # nodes are this machine, and so is their clock
    return float(first["at_s"]) + to_wall - script.stat().st_mtime


def watched(site: Site) -> tuple[int, list[int]]:
    """Queries that launchers asked for while they watched, and how many jobs each saw."""
    site.fresh()
    for number in range(JOBS):
        site.slurm.call(
            "sbatch", "--hold", f"--job-name=servematrix/bench/{number}", "--wrap=true", "--output=/dev/null"
        )
    count = site.base / "queries"
    wrapper(site, "squeue", f'echo x >>{count}; exec {site.slurm.which("squeue")} "$@"')
    env = site.env | {"PATH": f"{site.base}/bin:{site.env['PATH']}"}
    command = [sys.executable, "-c", WATCH, str(site.base / "state"), str(POLL_S), str(WATCH_S)]
    started = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(LAUNCHERS)
    ]
    seen = [int(one.communicate()[0]) for one in started]
    return len(count.read_text().split()), seen


def main() -> None:
    """Print medians, ranges and what is left of the limits."""
    base = base_folder()
    try:
        with Cluster(private=hidden(base)) as slurm:
            site = Site.make(base, slurm)
            times: dict[str, list[float]] = {"bare sbatch of true": [], "shared": [], "staged": []}
            for number in range(REPEATS):
                times["bare sbatch of true"].append(bare(site, number))
                for storage in ("shared", "staged"):
                    times[storage].append(ours(site, storage))
            yardstick = statistics.median(times["bare sbatch of true"])
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {REPEATS} each, in turns")
            for name, values in times.items():
                median = statistics.median(values)
                more = "" if name.startswith("bare") else f"  {median - yardstick:+.3f} s, limit +{LIMIT_S} s"
                print(f"{name:<22} {median:.3f} s  ({min(values):.3f} to {max(values):.3f}){more}")
            queries, seen = watched(site)
            polls = WATCH_S / POLL_S
            print(
                f"{JOBS} jobs, {LAUNCHERS} launchers, a poll each {POLL_S} s for {WATCH_S:.0f} s: {queries} queries, {polls:.0f} polls; jobs seen {seen}"
            )
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
