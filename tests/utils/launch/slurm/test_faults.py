"""A real Slurm on which things go wrong: each fault has its class, and only the machine's are tried again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site, wrapper
from utils.launch.slurm.attempts import UNANSWERED_S
from utils.node.files import below

pytestmark = pytest.mark.slurm


def time_is_up(site: Site, job: str) -> None:
    """Slurm's own limit of a job ends it; a plain `now` of a client is the past for a busy controller, which refuses it."""
    site.slurm.call("scontrol", "update", f"jobid={job}", "EndTime=now+2seconds")


def node_of_the_job(site: Site) -> tuple[str, str]:
    """The only job and its node, once it runs."""
    site.wait(lambda: "RUNNING" in site.jobs().values())
    (line,) = site.slurm.call("squeue", "--noheader", "--states=R", "--format=%i %N").splitlines()
    job, node = line.split()
    return job, node


def other(site: Site, node: str) -> str:
    return next(name for name in site.slurm.names if name != node)


@pytest.mark.parametrize("storage", ["shared", "staged"])
def test_a_node_that_loses_power_is_quarantined_and_the_job_runs_elsewhere(site: Site, storage: str) -> None:
    """slurmd, slurmstepd and all of their children die at once; the block is run anew as a whole."""
    launcher = site.start(storage, "--runs", "2")
    site.wait_for_record(storage)
    _, node = node_of_the_job(site)
    site.slurm.power_off(node)
    text, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, text
    assert "infra: " in text
    assert site.statuses(storage) == ["measured"] * 4
    assert {record["node"]["name"] for record in site.records(storage)} == {other(site, node)}
    assert list((site.out(storage) / "broken").rglob("record.json"))
    assert sorted(site.every_job().values()) == ["COMPLETED", "NODE_FAIL"]
    shown = site.call("nodes")
    assert node in shown.stdout
    assert "NODE_FAIL" in shown.stdout
    assert site.call("nodes", "--clear", "mi9").returncode == Exit.USAGE
    assert f"cleared: {node}" in site.call("nodes", "--clear", "all").stdout
    assert "no node is in quarantine" in site.call("nodes").stdout


@pytest.mark.parametrize("storage", ["shared", "staged"])
def test_a_slurmd_that_is_started_again_costs_nothing(site: Site, storage: str) -> None:
    """Its job's steps live on; nothing is measured twice, and no node is blamed."""
    launcher = site.start(storage, "--runs", "2")
    site.wait_for_record(storage)
    _, node = node_of_the_job(site)
    site.slurm.restart_daemon(node)
    text, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, text
    assert site.statuses(storage) == ["measured"] * 4
    assert list(site.every_job().values()) == ["COMPLETED"]
    assert "no node is in quarantine" in site.call("nodes").stdout
    site.wait(lambda: site.left_on_nodes() == [])


def test_a_node_set_down_and_all_others_too_ends_after_three_tries(site: Site) -> None:
    """No fourth one; the exit code says whose fault it was."""
    launcher = site.start("shared", "--runs", "9")
    _, node = node_of_the_job(site)
    site.slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    site.wait(lambda: len(site.every_job()) == 2)
    _, second = node_of_the_job(site)
    assert second == other(site, node)
    site.slurm.call("scontrol", "update", f"nodename={second}", "state=down", "reason=test")
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == Exit.INFRA_FAILED, text
    assert "quarantine: ./servematrix nodes" in text
    assert list(site.every_job().values()).count("NODE_FAIL") == 2  # Slurm keeps what it refused as FAILED


def test_a_prolog_that_fails_is_the_nodes_fault(site: Site) -> None:
    """Slurm says CANCELLED, and drains the node; the job runs on the other one."""
    (site.slurm.root / "prolog-fails-on-mi0").touch()
    done = site.run("shared")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["node"]["name"] for record in site.records("shared")} == {"mi1"}
    assert sorted(site.every_job().values()) == ["CANCELLED", "COMPLETED"]
    assert "prolog" in site.call("nodes").stdout.lower()


def test_a_drained_node_lets_its_job_end(site: Site) -> None:
    """Draining takes no job away."""
    launcher = site.start("shared")
    _, node = node_of_the_job(site)
    site.slurm.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, text
    assert site.statuses("shared") == ["measured"] * 2


@pytest.mark.parametrize("storage", ["shared", "staged"])
def test_a_time_limit_keeps_what_was_measured_and_is_not_tried_again(site: Site, storage: str) -> None:
    """The job's time is up between or in runs."""
    launcher = site.start(storage, "--runs", "30")
    site.wait_for_record(storage)
    job, _ = node_of_the_job(site)
    time_is_up(site, job)
    text, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == Exit.JOB_TIMEOUT, text
    assert "timeout: the job" in text
    assert list(site.every_job()) == [job]
    assert site.statuses(storage)[0] == "measured"
    assert site.left_on_nodes() == []


@pytest.mark.parametrize("storage", ["shared", "staged"])
def test_slurms_own_timeout_is_not_infra(site: Site, storage: str) -> None:
    """A server that is never ready takes all of the job's time."""
    site.cluster(storage, {"ready_s: 30": "ready_s: 500"})
    site.recipe("never-ready")
    launcher = site.start(storage)
    job, node = node_of_the_job(site)
    spool = site.slurm.node_path(node, Path("/tmp"))  # noqa: S108 - the node's own
    site.wait(lambda: [one for place in (site.out(storage), spool) for one in below(place, "canary/started")])
    time_is_up(site, job)
    text, _ = launcher.communicate(timeout=90)
    assert launcher.returncode == Exit.JOB_TIMEOUT, text
    assert "timeout: the job ran into its time limit" in text
    assert "Slurm says TIMEOUT" in text
    assert site.every_job() == {job: "TIMEOUT"}
    assert site.left_on_nodes() == []


def test_somebody_elses_scancel_is_told_apart(site: Site) -> None:
    """It is not tried again."""
    launcher = site.start("shared", "--runs", "9")
    site.wait_for_record("shared")
    job, _ = node_of_the_job(site)
    site.slurm.call("scancel", job)
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == Exit.CANCELLED, text
    assert "cancelled: somebody cancelled the job" in text


def test_a_server_that_ends_is_the_servers_fault(site: Site) -> None:
    """Found by the canary; no second try; each point has its reason."""
    site.recipe("exit-at-start")
    done = site.run("staged", "--runs", "2")
    assert done.returncode == Exit.SERVER_EXITED, done.stdout
    assert "server: " in done.stdout
    assert len(site.every_job()) == 1
    assert "failed: staged/32x16-tp1-c1 and 1 more: " in done.stdout


def test_a_full_disk_on_a_node_is_the_nodes_fault(site: Site) -> None:
    """A small tmpfs, really filled, on one of two nodes."""
    site.slurm.wait_ready()  # else the other node can be the only free one
    spool = Path("/tmp/sm-0")  # noqa: S108 - the node's own
    for node in site.slurm.names[:1]:
        site.slurm.inside(node, f"mkdir -p {spool} && mount -t tmpfs -o size=1m none {spool}")
    done = site.run("staged")
    for node in site.slurm.names[:1]:
        site.slurm.inside(node, f"umount {spool}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "infra: " in done.stdout
    assert site.statuses("staged") == ["measured"] * 2
    assert "GB free" in site.call("nodes").stdout


def test_a_controller_that_is_away_for_a_while_costs_nothing(site: Site) -> None:
    """Jobs live on, and so does the launcher."""
    launcher = site.start("shared")
    site.wait_for_record("shared")
    site.slurm.stop_controller()
    time.sleep(4)
    site.slurm.start_controller()
    text, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, text
    assert site.statuses("shared") == ["measured"] * 2


def test_slurm_starting_the_job_again_runs_the_block_anew(site: Site) -> None:
    """An administrator's requeue; the first start's records are set aside."""
    launcher = site.start("staged", "--runs", "2")
    site.wait_for_record("staged")
    job, _ = node_of_the_job(site)
    site.slurm.call("scontrol", "update", f"jobid={job}", "Requeue=1")
    site.slurm.call("scontrol", "requeue", job)
    text, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, text
    assert site.statuses("staged") == ["measured"] * 4
    assert {record["allocation"].split("-")[-1] for record in site.records("staged")} == {"1"}
    assert list((site.out("staged") / "broken").rglob("broken.json"))


def test_an_sbatch_that_times_out_although_the_job_was_accepted_doubles_nothing(site: Site) -> None:
    """The job is looked for by its name."""
    real = site.slurm.which("sbatch")
    wrapper(
        site,
        "sbatch",
        f'{real} "$@"; echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1',
    )
    done = site.run("shared", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "looking whether the job was accepted" in done.stdout
    assert list(site.every_job().values()) == ["COMPLETED"]


def test_an_empty_squeue_is_not_the_end(site: Site) -> None:
    """Its answers are empty for as long as the job runs; accounting is off; results still come."""
    wrapper(site, "squeue", "exit 0")
    done = site.run("shared", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses("shared") == ["measured"] * 2


def test_a_payload_too_large_for_the_script_goes_by_sbcast(site: Site) -> None:
    """Its hash is compared before it is unpacked."""
    site.cluster("staged", {"poll_s: 0.3": "poll_s: 0.3, script_bytes: 21000"})
    done = site.run("staged")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PAYLOAD" not in next((site.out("staged") / "launch").glob("*.sh")).read_text()
    assert site.statuses("staged") == ["measured"] * 2
    assert site.left_on_nodes() == []


def test_a_payload_is_sent_again_until_it_is_there_and_not_after(site: Site) -> None:
    """An sbcast that fails once; then a launcher that attaches, and must not leave a second copy on the node."""
    site.cluster("staged", {"poll_s: 0.3": "poll_s: 0.3, script_bytes: 21000"})
    tried = site.base / f"tried-{site.number}"
    real = site.slurm.which("sbcast")
    wrapper(
        site,
        "sbcast",
        f'echo x >>{tried}; [ "$(wc -l <{tried})" -gt 1 ] || {{ echo "sbcast: error: refused" >&2; exit 1; }}; exec {real} "$@"',
    )
    launcher = site.start("staged", "--runs", "2", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    site.wait_for_record("staged")
    launcher.kill()
    text, _ = launcher.communicate()
    assert "sbcast: error: refused; sent again" in text
    done = site.run("staged", "--runs", "2", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert tried.read_text() == "x\n" * 2
    assert site.left_on_nodes() == []


def test_a_python_that_no_node_has_is_no_nodes_fault(site: Site) -> None:
    """Told in one line; after the second node with the same cause none is in quarantine."""
    site.cluster("shared", {"poll_s: 0.3": "poll_s: 0.3, python: /nosuch/python3"})
    done = site.run("shared")
    assert done.returncode == Exit.INFRA_FAILED, done.stdout
    assert "infra: slurm.python of the cluster file is missing on this node" in done.stdout
    assert "so that the nodes are not blamed" in done.stdout
    assert "no node is in quarantine" in site.call("nodes").stdout


def test_the_same_job_submitted_twice_leaves_what_the_first_one_brought(site: Site) -> None:
    """Where results are shared: the second finds that all is over."""
    assert site.run("shared").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in site.out("shared").rglob("record.json")}
    (script,) = (site.out("shared") / "launch").glob("*.0.sh")
    site.slurm.call("sbatch", "--wait", str(script))
    assert {path: path.stat().st_mtime_ns for path in site.out("shared").rglob("record.json")} == before
    assert not (site.out("shared") / "broken").exists()


def test_a_refused_second_job_ends_the_first(site: Site) -> None:
    """One of several that cannot be submitted: nothing goes on that nobody waits for."""
    site.recipe(more="- {isl: 32, osl: 16, search: [{tp: 2, concurrency: 1}]}")
    real = site.slurm.which("sbatch")
    count = site.base / f"count-{site.number}"
    wrapper(
        site,
        "sbatch",
        f'echo x >>{count}; [ "$(wc -l <{count})" -eq 1 ] || {{ echo "sbatch: error: QOS limit" >&2; exit 1; }}; exec {real} "$@"',
    )
    done = site.run("shared", env={"PATH": f"{site.base}/bin:{site.env['PATH']}"})
    assert done.returncode == Exit.SLURM_FAILED, done.stdout
    assert "QOS limit" in done.stderr
    site.wait(lambda: not site.jobs())
    assert list(site.every_job().values()) == ["CANCELLED"]


def test_a_job_that_slurm_refuses_says_why(site: Site) -> None:
    """Slurm's own words, and nothing is left; a refusal is an answer, so that nobody waits whether there is a job all the same."""
    site.cluster("shared", {"partition: compute": "partition: gone"})
    began = time.monotonic()
    done = site.run("shared")
    assert time.monotonic() - began < UNANSWERED_S / 2
    assert done.returncode == Exit.SLURM_FAILED
    assert "invalid partition" in done.stderr
    assert site.every_job() == {}
