"""Whose jobs are ended, what comes after, and in which order things are heard, on a real Slurm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site, end

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])
RUNS = "4"
"""More than one, so that there is something left to end when the first record is there."""


def kill_the_launcher(site: Site, storage: str, *more: str) -> None:
    launcher = site.start(storage, "--runs", RUNS, *more)
    site.wait_for_record(storage)
    launcher.kill()
    launcher.communicate()


def test_cancel_in_a_copy_leaves_this_checkouts_jobs(site: Site) -> None:
    """The folder has the same name, and so has the repository."""
    launcher = site.start("shared", "--runs", RUNS, env={"GITHUB_REPOSITORY": "acme/servematrix"})
    site.wait_for_record("shared")
    copy = site.base / "elsewhere" / "checkout"
    shutil.copytree(site.checkout, copy, symlinks=True)
    try:
        env = {"PYTHONPATH": str(copy), "GITHUB_REPOSITORY": "acme/servematrix"}
        done = site.call("cancel", env=env)
        assert done.returncode == 0, done.stderr
        assert "left alone: " in done.stdout
        assert len(site.jobs()) == 1
        assert "cancelled: " in site.call("cancel").stdout
        assert launcher.wait(60) == Exit.CANCELLED
    finally:
        shutil.rmtree(copy.parent)


@STORAGES
def test_a_run_after_cancel_measures_at_the_first_try(site: Site, storage: str) -> None:
    """What was ended by hand is set aside, and the block is measured anew."""
    kill_the_launcher(site, storage)
    assert "cancelled: " in site.call("cancel", str(site.out(storage))).stdout
    done = site.run(storage, "--runs", RUNS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measured anew" in done.stdout
    assert site.statuses(storage) == ["measured"] * 2 * int(RUNS)
    assert sorted(site.every_job().values()) == ["CANCELLED", "COMPLETED"]
    assert site.left_on_nodes() == []


def test_a_launcher_that_is_there_when_its_job_is_cancelled_ends(site: Site) -> None:
    """Whoever cancels does not want it started again at once; the next run does."""
    launcher = site.start("shared", "--runs", RUNS)
    site.wait_for_record("shared")
    site.call("cancel", str(site.out("shared")))
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == Exit.CANCELLED, text
    assert site.run("shared", "--runs", RUNS).returncode == 0


def test_a_clock_that_is_set_back_makes_nobody_deaf(site: Site) -> None:
    """An hour, in the middle of a job; then its node loses power, and the job runs elsewhere."""
    folder = site.base / f"clock-{site.number}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time, os\n"
        "begin, real = time.monotonic(), time.time\n"
        f"step = {str(folder / 'step')!r}\n"
        "time.time = lambda: real() - (3600 if os.path.exists(step) else 0)\n"
    )
    launcher = site.start("shared", "--runs", "2", env={"PYTHONPATH": f"{folder}:{site.checkout}"})
    site.wait_for_record("shared")
    (folder / "step").touch()
    (line,) = site.slurm.call("squeue", "--noheader", "--states=R", "--format=%N").splitlines()
    site.slurm.power_off(line.strip())
    text, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == 0, text
    assert sorted(site.every_job().values()) == ["COMPLETED", "NODE_FAIL"]


def test_a_spool_that_a_cleaner_removes_is_the_machines_fault(site: Site) -> None:
    """Named, with what to change; the job is tried again."""
    launcher = site.start("staged", "--runs", "9")
    site.wait_for_record("staged")
    (line,) = site.slurm.call("squeue", "--noheader", "--states=R", "--format=%N").splitlines()
    spools = list(site.slurm.node_path(line.strip(), Path("/tmp")).glob("sm-*/*"))  # noqa: S108 - the node's own
    assert spools
    for path in spools:
        site.clear(path)
    site.wait(lambda: len(site.every_job()) > 1, limit_s=90)
    code, text = end(launcher, signal.SIGTERM)
    assert code == Exit.CANCELLED, text
    assert "infra: the job's folder was removed while it ran" in text
    assert "paths.spool" in text


def test_a_home_without_locks_is_one_sentence_and_no_job(site: Site) -> None:
    """NFS without lockd: said before anything is submitted, with the way out."""
    folder = site.base / f"locks-{site.number}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import fcntl, os\n"
        "real = fcntl.flock\n"
        "def flock(file, how):\n"
        "    number = file if isinstance(file, int) else file.fileno()\n"
        "    if '/state-' in os.readlink(f'/proc/self/fd/{number}'):\n"
        "        raise OSError(37, 'No locks available')\n"
        "    return real(file, how)\n"
        "fcntl.flock = flock\n"
    )
    home = folder / "state-home"
    env = {"PYTHONPATH": f"{folder}:{site.checkout}", "XDG_STATE_HOME": str(home)}
    launcher = site.start("shared", env=env)
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == Exit.SETUP_FAILED, text
    assert f"{home}/servematrix" in text
    assert "is on a file system without locks (No locks available); name a folder" in text
    assert "Traceback" not in text
    assert site.every_job() == {}


def test_a_job_waits_for_a_run_that_has_its_cores(site: Site) -> None:
    """Such as a local one on the node; the job keeps the next one off, and lets go when it ends."""
    name = f"-beside-{os.getpid()}"
    hold = (
        "import time\nfrom utils.node.host.machine_lock import alone_on_the_machine\n"
        "with alone_on_the_machine(print):\n    print('mine', flush=True)\n    time.sleep(90)\n"
    )
    env = {**site.env, "SERVEMATRIX_MACHINE": name}
    with subprocess.Popen([sys.executable, "-c", hold], env=env, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "mine\n"
        launcher = site.start("shared", env={"SERVEMATRIX_MACHINE": name})
        time.sleep(12)
        assert not list(site.out("shared").rglob("record.json"))
        first.kill()
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, text
    assert "another run is measuring on this machine" in text
    with subprocess.Popen(
        [sys.executable, "-c", hold], env=env, stdout=subprocess.PIPE, text=True
    ) as next_one:
        assert next_one.stdout
        assert next_one.stdout.readline() == "mine\n"
        next_one.kill()
