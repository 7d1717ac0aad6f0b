"""Launchers that are ended, killed and started again, on a real Slurm: nothing lost, nothing doubled, nothing left."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site, end, wrapper

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])


@STORAGES
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_job_and_brings_what_it_has(
    site: Site, storage: str, number: signal.Signals
) -> None:
    """The node program ends its server and writes down what was cancelled."""
    launcher = site.start(storage, "--runs", "9")
    site.wait_for_record(storage)
    code, text = end(launcher, number)
    assert code == Exit.CANCELLED, text
    assert "measured" in text
    assert site.statuses(storage)[0] == "measured"
    assert set(site.statuses(storage)) <= {"measured", "cancelled"}
    site.wait(lambda: not site.jobs())
    assert set(site.every_job().values()) == {"CANCELLED"}
    assert site.left_on_nodes() == []


def test_a_shell_around_the_launcher_that_dies_first_cancels(site: Site) -> None:
    """As in Actions, where the runner signals the shell alone."""
    command = subprocess.list2cmdline(site.command(*site._run("shared"), "--runs", "9"))
    shell = subprocess.Popen(
        ["bash", "-c", f"{command} >{site.base}/said; true"], env=site.env, cwd="/", start_new_session=True
    )
    site.wait_for_record("shared")
    shell.kill()
    shell.wait()
    site.wait(lambda: site.memory("shared")["done"])
    assert site.memory("shared")["kind"] == "cancelled"
    assert set(site.every_job().values()) == {"CANCELLED"}
    site.wait(lambda: site.left_on_nodes() == [])


def test_nohup_outlives_its_shell(site: Site) -> None:
    """Whoever says so is not cancelled."""
    command = subprocess.list2cmdline(site.command(*site._run("shared")))
    shell = subprocess.Popen(
        ["bash", "-c", f"nohup {command} >{site.base}/said 2>&1; true"],
        env=site.env,
        cwd="/",
        start_new_session=True,
    )
    site.wait_for_record("shared")
    shell.kill()
    shell.wait()
    site.wait(lambda: site.memory("shared")["done"])
    assert site.memory("shared")["kind"] is None
    assert site.statuses("shared") == ["measured"] * 2


@STORAGES
def test_a_launcher_after_a_killed_one_attaches(site: Site, storage: str) -> None:
    """One job in all, and every record of it."""
    launcher = site.start(storage, "--runs", "2")
    site.wait_for_record(storage)
    launcher.kill()
    launcher.wait()
    (job,) = site.jobs()
    done = site.run(storage, "--runs", "2", env={"GITHUB_RUN_ID": "2"})  # its jobs would have other names
    assert done.returncode == 0, done.stdout + done.stderr
    assert "taken up again" in done.stdout
    assert site.every_job() == {job: "COMPLETED"}
    assert site.statuses(storage) == ["measured"] * 4
    assert site.left_on_nodes() == []


def test_a_job_of_a_folder_that_was_removed_is_not_taken_for_the_new_one(site: Site) -> None:
    """It runs still, under the very name of the new one, which waits for it; nothing that it says is wanted."""
    launcher = site.start("staged", "--runs", "9")
    site.wait_for_record("staged")
    launcher.kill()
    launcher.wait()
    (old,) = site.jobs()
    shutil.rmtree(site.out("staged"))
    done = site.run("staged")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {job: state for job, state in site.every_job().items() if job != old}.popitem()[1] == "COMPLETED"
    assert site.every_job()[old] == "CANCELLED"
    assert site.statuses("staged") == ["measured"] * 2


@STORAGES
def test_what_ended_while_nobody_looked_is_brought_home(site: Site, storage: str) -> None:
    """The launcher died, the job ended, another launcher comes."""
    launcher = site.start(storage)
    site.wait(site.jobs)
    launcher.kill()
    launcher.wait()
    site.wait(lambda: not site.jobs(), limit_s=90)
    done = site.run(storage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(storage) == ["measured"] * 2
    assert site.left_on_nodes() == []


def test_a_launcher_killed_between_the_last_file_and_its_own_note(site: Site) -> None:
    """The spool is gone, everything is here, and only the launcher's memory says that the job is not done."""
    assert site.run("staged").returncode == 0
    (memory,) = (path for path in (site.out("staged") / "launch").glob("*.json") if path.name.count(".") == 3)
    memory.write_text(json.dumps({**json.loads(memory.read_bytes()), "done": False}))
    done = site.run("staged")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(site.every_job()) == 1
    assert site.statuses("staged") == ["measured"] * 2


def test_nothing_is_submitted_after_a_cancellation(site: Site) -> None:
    """A signal while the second of two jobs is being handed over."""
    site.recipe(more="- {isl: 32, osl: 16, search: [{tp: 2, concurrency: 1}]}")
    real = site.slurm.which("sbatch")
    count = site.base / f"count-{site.number}"
    wrapper(site, "sbatch", f'echo x >>{count}; [ "$(wc -l <{count})" -eq 1 ] || sleep 2; exec {real} "$@"')
    launcher = site.start("staged", "--runs", "9", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    site.wait(lambda: count.exists() and len(count.read_text()) > 2)
    code, text = end(launcher, signal.SIGTERM)
    assert code == Exit.CANCELLED, text
    site.wait(lambda: not site.jobs())
    assert len(site.every_job()) <= 2
    assert set(site.every_job().values()) == {"CANCELLED"}
    assert site.left_on_nodes() == []


def test_a_finished_block_is_not_run_again(site: Site) -> None:
    """The same command once more measures nothing."""
    assert site.run("shared").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in site.out("shared").rglob("record.json")}
    done = site.run("shared")
    assert done.returncode == 0, done.stderr
    assert "not run again" in done.stdout
    assert len(site.every_job()) == 1
    assert {path: path.stat().st_mtime_ns for path in site.out("shared").rglob("record.json")} == before


def test_a_broken_block_is_kept_marked_and_run_anew_as_a_whole(site: Site) -> None:
    """What was measured before the interruption is not judged."""
    launcher = site.start("shared", "--runs", "2")
    site.wait_for_record("shared")
    end(launcher, signal.SIGTERM)
    done = site.run("shared", "--runs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses("shared") == ["measured"] * 4
    (mark,) = (site.out("shared") / "broken").rglob("*/broken.json")
    assert list(mark.parent.rglob("record.json"))
    assert site.call("collect", str(site.out("shared"))).stdout.count(" measured ") == 4


def test_another_launcher_on_the_same_folder_is_refused(site: Site) -> None:
    """And so is a run of other points in it."""
    site.start("shared", "--runs", "9")
    site.wait(site.jobs)
    second = site.run("shared", "--runs", "9")
    assert second.returncode == Exit.OUT_IN_USE
    assert "is running on" in second.stderr
    site.stop()
    other = site.run("shared", "--runs", "8")
    assert other.returncode == Exit.OUT_IN_USE
    assert "other points" in other.stderr


def test_cancel_ends_what_a_killed_launcher_left(site: Site) -> None:
    """By the results folder, or everything of this checkout."""
    launcher = site.start("shared", "--runs", "9")
    site.wait_for_record("shared")
    launcher.kill()
    launcher.wait()
    elsewhere = site.call("cancel", str(site.base / "nfs" / "elsewhere"))
    assert elsewhere.returncode == Exit.USAGE
    assert "no launcher wrote there" in elsewhere.stderr
    assert len(site.jobs()) == 1
    done = site.call("cancel", str(site.out("shared")), env={"GITHUB_RUN_ID": "of another workflow run"})
    assert done.returncode == 0, done.stderr
    assert "cancelled: " in done.stdout
    site.wait(lambda: not site.jobs())


def test_collect_fetches_what_a_dead_launcher_left(site: Site) -> None:
    """From the spool of the node, by a small job there."""
    launcher = site.start("staged")
    site.wait(site.jobs)
    (job,) = site.jobs()
    launcher.kill()
    launcher.wait()
    site.wait(lambda: not site.jobs(), limit_s=90)
    folder = site.base / "login" / f"fetched-{site.number}"
    folder.mkdir()
    done = site.call("collect", str(folder), "--job", job, "--cluster", "staged")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" measured ") == 2
    assert site.left_on_nodes() == []
    taken = f"{site.out('staged')}-taken"
    site.start("staged", "--runs", "9", "--out", taken)
    site.wait(site.jobs)
    busy = site.call("collect", taken, "--job", job, "--cluster", "staged")
    assert busy.returncode == Exit.OUT_IN_USE
    assert "is running on" in busy.stderr
    again = site.call("collect", str(folder), "--job", "999999", "--cluster", "staged")
    assert again.returncode == Exit.SLURM_FAILED
    assert "forgotten" in again.stderr
