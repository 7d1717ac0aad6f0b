"""Several verbs on one results folder, each killed at a random moment or met by the next; and many points while Slurm itself has faults."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.slurm.site import Site, wrapper
from utils.node.files import below

pytestmark = pytest.mark.slurm
SEEDS = 20
"""A fifth of them runs with every change, all at night."""
LONGEST_S = 3.0
POINTS = "- {{isl: {isl}, osl: 16, search: [{{tp: 1, concurrency: 1..2}}]}}"


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.nightly] if seed % 5 else []) for seed in range(SEEDS)]
)
def test_run_collect_and_cancel_killed_at_random_moments(site: Site, seed: int) -> None:
    """Whatever was done before, the last `run` measures: one record, no job and no file left."""
    draw = random.Random(1000 + seed)  # noqa: S311 - moments, not secrets
    storage = draw.choice(["shared", "staged"])
    out = str(site.out(storage))
    run = ["run", f"{storage}/32x16-tp1-c1", "--environment", str(site.environment), "--out", out]
    launcher = site.start_command(*run)
    with contextlib.suppress(subprocess.TimeoutExpired):
        launcher.wait(draw.uniform(0.5, LONGEST_S))
    launcher.kill()
    acts: list[subprocess.Popen[str]] = []
    for _ in range(draw.choice([1, 2, 3])):
        job = next(iter(site.jobs()), "1")
        verbs = {
            "run": run,
            "cancel": ["cancel", out],
            "collect": ["collect", out, "--job", job, "--cluster", storage],
        }
        acts.append(site.start_command(*verbs[draw.choice(sorted(verbs))]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            acts[-1].wait(draw.uniform(0.1, LONGEST_S))
        if draw.random() < 0.5:  # else it goes on beside the next one
            acts[-1].kill()
    for one in acts:
        one.kill()
        one.communicate()
    done = site.call(*run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(storage) == ["measured"]
    site.wait(lambda: not site.jobs())
    states = list(site.every_job().values())
    assert set(states) <= {"COMPLETED", "CANCELLED"}, (states, done.stdout)
    if "COMPLETED" not in states:  # cancelled when all was measured: it ended well by its own word
        (events,) = below(Path(out), "events.jsonl")
        assert json.loads(events.read_text().splitlines()[-1])["facts"] == {"exit": 0}
    with contextlib.suppress(AssertionError):
        site.wait(lambda: site.left_on_nodes() == [], limit_s=15)
    assert site.left_on_nodes() == []


@pytest.mark.parametrize(
    ("jobs", "faults"), [(4, 3), pytest.param(100, 50, marks=[pytest.mark.nightly])], ids=["short", "night"]
)
def test_a_soak_while_slurm_has_faults(site: Site, jobs: int, faults: int) -> None:
    """Squeue fails one time in three; the controller goes away, nodes' daemons are killed, jobs are requeued, the launcher is killed: nothing is lost, doubled or left."""
    draw = random.Random(jobs)  # noqa: S311 - moments, not secrets
    real, count = site.slurm.which("squeue"), site.base / "count"
    wrapper(
        site,
        "squeue",
        f'n=$(cat {count} 2>/dev/null || echo 0); echo $((n + 1)) >{count}\n[ $((n % 3)) -ne 2 ] || {{ echo "slurm_load_jobs error: Socket timed out" >&2; exit 1; }}\nexec {real} "$@"',
    )
    site.recipe(more="\n".join(POINTS.format(isl=33 + number) for number in range(jobs - 1)))
    env = {"PATH": f"{site.base}/bin:{site.env['PATH']}"}
    code, told = -1, ""
    for _ in range(3 * faults + 5):
        launcher = site.start("staged", env=env)
        while faults > 0 and launcher.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(draw.uniform(1.0, 5.0))
            faults -= 1
            if one_fault(site, launcher, draw.choice(["kill", "controller", "requeue", "daemon"])):
                break
        text, _ = launcher.communicate(timeout=1800)
        code, told = launcher.returncode, told + text
        if code == 0:
            break
    assert code == 0, text
    found = site.records("staged")
    assert len(found) == 2 * jobs == len({one["point"] for one in found})
    assert {one["status"] for one in found} == {"measured"}
    assert all(gate["passed"] for one in found for gate in one["gates"])
    site.wait(lambda: not site.jobs())
    with contextlib.suppress(AssertionError):
        site.wait(lambda: unexplained(site, told) == [], limit_s=15)
    assert unexplained(site, told) == [], whose(site, told)


def unexplained(site: Site, told: str) -> list[str]:
    """What is left on nodes, but for a log of each start that was over between two polls: without an accounting nobody knows where it was, and the launcher says so."""
    starts = Counter[str]()
    for number, log in re.findall(
        r"of (\d+) of these starts the node is not known.* (\S+\.log)$", told, re.MULTILINE
    ):
        starts[Path(log).name] = max(starts[Path(log).name], int(number))
    found = []
    for path in site.left_on_nodes():
        starts[Path(path).name] -= 1
        if starts[Path(path).name] < 0:
            found.append(path)
    return found


def whose(site: Site, told: str) -> str:
    """What is left on which node, and what launchers and Slurm said: such a moment is rare, and does not come back when one looks for it."""
    lines = []
    for node in site.slurm.names:
        for path in sorted(site.slurm.node_path(node, Path("/tmp")).glob("servematrix-*")):  # noqa: S108 - the node's own
            lines.append(f"{node}: {path.name}")
            for one in sorted(path.iterdir() if path.is_dir() else [path]):
                text = one.read_text(errors="replace")[-2000:] if one.is_file() else ""
                lines.append(f"  {one.name} {time.time() - one.stat().st_mtime:.0f} s old\n{text}")
    lines += told.splitlines()
    lines.append(site.slurm.call("squeue", "--noheader", check=False))
    lines.append(site.slurm.call("scontrol", "show", "job", "--oneliner", check=False))
    return "\n".join(lines)


def draw_node(site: Site) -> str:
    """One that a job runs on, if there is any."""
    busy = site.slurm.call("squeue", "--noheader", "--states=R", "--format=%N", check=False).split()
    return busy[0] if busy else site.slurm.names[0]


def one_fault(site: Site, launcher: subprocess.Popen[str], kind: str) -> bool:
    """Let it happen; whether the launcher is gone by it."""
    if kind == "kill":
        launcher.kill()
        return True
    if kind == "controller":
        site.slurm.stop_controller()
        time.sleep(2)
        site.slurm.start_controller()
        site.slurm.wait_ready(of_nodes=False)
    elif kind == "daemon":
        site.slurm.restart_daemon(draw_node(site))
    elif job := next((job for job, state in site.jobs().items() if state == "RUNNING"), None):
        site.slurm.call("scontrol", "update", f"jobid={job}", "Requeue=1", check=False)
        site.slurm.call("scontrol", "requeue", job, check=False)
    return False
