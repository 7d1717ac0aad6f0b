"""Jobs of others in the queue, a job that is held, and a checkout that cannot be written."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.slurm.site import Site
from utils.node.files import below

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])
STRANGER = "strangers-secret-job"


def strangers(site: Site) -> list[str]:
    """A job of somebody else on each node, which has all of it."""
    words = ["--parsable", "--exclusive", "--nodes=1", f"--job-name={STRANGER}", "--output=/dev/null", "--wrap=sleep 300"]  # fmt: skip
    return [site.slurm.call("sbatch", *words).strip() for _ in site.slurm.names]


def ours(site: Site, others: list[str]) -> str:
    """The job that is not theirs, once it is there."""
    found: list[str] = []

    def there() -> bool:
        found[:] = [job for job in site.jobs() if job not in others]
        return bool(found)

    site.wait(there)
    return found[0]


def test_waiting_behind_others_and_being_held_are_said(site: Site) -> None:
    """With Slurm's reason; the job runs once it may, and nothing of the others is kept."""
    others = strangers(site)
    launcher = site.start("shared")
    job = ours(site, others)
    time.sleep(2)
    site.slurm.call("scontrol", "hold", job)
    time.sleep(2)
    site.slurm.call("scancel", *others)
    site.slurm.call("scontrol", "release", job)
    text, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == 0, text
    assert any(reason in text for reason in ("waits: PENDING Resources", "waits: PENDING Priority")), text
    assert "waits: PENDING JobHeld" in text
    assert site.statuses("shared") == ["measured"] * 2
    kept = [path for path in site.out("shared").rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if STRANGER.encode() in path.read_bytes()] == []


def test_a_held_job_can_be_cancelled(site: Site) -> None:
    """A Ctrl-C while it waits leaves no job."""
    others = strangers(site)
    launcher = site.start("staged")
    job = ours(site, others)
    site.slurm.call("scontrol", "hold", job)
    time.sleep(1)
    launcher.terminate()
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode != 0, text
    site.wait(lambda: job not in site.jobs())
    assert all(one in site.jobs() for one in others), "jobs of others go on"
    site.slurm.call("scancel", *others)


def test_a_checkout_that_cannot_be_written(site: Site) -> None:
    """Mounted read-only, as a shared installation is: it measures all the same."""
    point, out = "shared/32x16-tp1-c1", site.out("shared")
    inside = " ".join(site.command("run", point, "--environment", str(site.environment), "--out", str(out)))
    script = f"mount --bind -o ro {site.checkout} {site.checkout} && mount -o remount,bind,ro {site.checkout} && exec {inside}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],
        env=site.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses("shared") == ["measured"]


def started_again_elsewhere(site: Site) -> str:
    """The only job, requeued without its node; the node where it was."""
    (job,) = site.jobs()
    node = site.slurm.call("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
    site.slurm.call("scontrol", "update", f"jobid={job}", "Requeue=1")
    site.slurm.call("scontrol", "requeuehold", job)
    site.wait(lambda: site.slurm.states()[job] == "PENDING")
    site.slurm.call("scontrol", "update", f"jobid={job}", f"ExcNodeList={node}")
    site.slurm.call("scontrol", "release", job)
    return node


@STORAGES
def test_a_job_that_slurm_starts_again_elsewhere_leaves_nothing_where_it_was(
    site: Site, storage: str
) -> None:
    """A launcher that is there sees both nodes."""
    launcher = site.start(storage, "--runs", "2")
    site.wait_for_record(storage)
    node = started_again_elsewhere(site)
    text, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, text
    assert {record["node"]["name"] for record in site.records(storage)} == {*site.slurm.names} - {node}
    assert site.left_on_nodes() == []


@STORAGES
def test_what_a_first_start_left_is_found_by_the_next_launcher(site: Site, storage: str) -> None:
    """The first one is killed before anything came from the node; its notebook has the node's name."""
    launcher = site.start(storage)
    nodes = [site.slurm.node_path(name, Path("/tmp")) for name in site.slurm.names]  # noqa: S108 - the nodes' own
    places = [site.out(storage), *nodes]
    site.wait(lambda: any(list(below(place, "canary/started")) for place in places))
    site.wait(lambda: site.memory(storage)["node"])
    launcher.kill()
    launcher.communicate()
    node = started_again_elsewhere(site)
    done = site.run(storage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.memory(storage)["earlier"] == [node]
    assert site.statuses(storage) == ["measured"] * 2
    assert site.left_on_nodes() == []
