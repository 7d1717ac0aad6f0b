"""`doctor CLUSTER` on a real Slurm: the controller, the partition, its nodes, and what a probe finds on one; and what a run does there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site

pytestmark = pytest.mark.slurm
TMP = Path("/tmp")  # noqa: S108 - the node's own


def doctor(site: Site, *more: str) -> tuple[int, dict[str, str], str]:
    """Exit code, level by name, and the text."""
    done = site.call("doctor", "shared", *more)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    levels = {rest.split(": ")[0]: level for level, rest in lines}
    return done.returncode, levels, done.stdout + done.stderr


def test_a_cluster_in_order_is_all_ok_and_a_probe_asks_a_node(site: Site) -> None:
    """The probe is a job of its own that asks for the gres; nothing of it is left."""
    code, levels, text = doctor(site)
    assert code == 0, text
    for name in ("Slurm's commands", "controller", "partition", "nodes", "time limit", "gres", "cpus"):
        assert levels[name] == "ok", text
    assert "2 of 2 nodes have gpu:8; nodes have gpu:mi300x:8" in text
    assert levels["nodes' Python"] == "note"
    code, levels, text = doctor(site, "--probe")
    assert code == 0, text
    assert levels["probe"] == "ok", text
    node = next(name.split()[0] for name in levels if name.endswith(" memory"))
    assert node in site.slurm.names
    for name in ("python", "disk", "NUMA balancing", "port"):
        assert levels[f"{node} {name}"] == "ok", text
    assert "ran on mi" in text
    assert not list(site.slurm.node_path(node, TMP).glob("servematrix-doctor-*"))
    assert "doctor" in site.slurm.call("squeue", "--states=all", "--noheader", "--format=%j")


def test_a_probe_that_finds_something_wrong_fails(site: Site) -> None:
    """A node without the models; a Python that is not there; a node that is not free."""
    site.cluster(
        "shared", {"paths: {spool: /tmp/sm-$UID}": "paths: {spool: /tmp/sm-$UID, models: /tmp/nosuch}"}
    )
    code, _, text = doctor(site, "--probe")
    assert code == Exit.CHECK_FAILED
    assert "nosuch is missing (paths.models); is the node's disk mounted?" in text
    site.cluster("shared", {"poll_s: 0.3": "poll_s: 0.3, python: /nosuch/python3"})
    code, levels, text = doctor(site, "--probe")
    assert (code, levels["probe"]) == (Exit.CHECK_FAILED, "problem"), text
    assert "slurm.python names a Python that the node lacks" in text


def test_what_the_cluster_file_asks_for_and_slurm_has_not(site: Site) -> None:
    """Each with what there is."""
    site.slurm.call("scontrol", "update", "partitionname=compute", "maxtime=30")
    try:
        site.cluster("shared", {'"gpu:8"': '"gpu:h100:8"', "cpus_per_task: 2": "cpus_per_task: 500"})
        code, levels, text = doctor(site)
    finally:
        site.slurm.call("scontrol", "update", "partitionname=compute", "maxtime=infinite")
    assert code == Exit.CHECK_FAILED
    assert [levels[name] for name in ("time limit", "gres", "cpus")] == ["problem"] * 3, text
    assert "no node has gpu:h100:8 (slurm.gres); nodes have gpu:mi300x:8" in text
    assert "0 of 2 nodes have 500 (slurm.cpus_per_task); the most is 64" in text
    assert "lower limits.walltime_s to 1800" in text


def test_a_partition_that_was_renamed_is_one_clear_refusal(site: Site) -> None:
    """By doctor, and by a run, whose points have that reason; once the file is right, the same command measures."""
    site.cluster("shared", {"partition: compute": "partition: compute-x"})
    code, levels, text = doctor(site)
    assert (code, levels["partition"]) == (Exit.CHECK_FAILED, "problem")
    wanted = "there is no partition compute-x (slurm.partition of recipes/clusters/shared.yaml): Slurm has compute; did you mean 'compute'?"
    assert wanted in text
    done = site.run("shared")
    assert done.returncode == Exit.SLURM_FAILED, done.stdout + done.stderr
    assert wanted in done.stderr
    assert "failed: shared/32x16-tp1-c1 and 1 more: sbatch: " in done.stdout
    assert "cancel" not in done.stdout, "nothing was submitted, so there is nothing to end"
    (left,) = site.out("shared").rglob("failure.json")
    assert wanted in json.loads(left.read_text())["cause"]
    site.cluster("shared")
    again = site.run("shared")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_cluster_of_which_every_node_is_down_is_said_and_not_waited_for(site: Site) -> None:
    """At once by doctor and in the run's lines; after limits.stuck_s the run ends as infra, without another try."""
    for name in site.slurm.names:
        site.slurm.call("scontrol", "update", f"nodename={name}", "state=drain", "reason=broken fan")
    code, levels, text = doctor(site)
    assert (code, levels["nodes"]) == (Exit.CHECK_FAILED, "problem")
    assert "no node of partition compute is up: mi0 drained (broken fan), mi1 drained (broken fan)" in text
    code, levels, text = doctor(site, "--probe")
    assert levels["probe"] == "note"
    assert "not sent" in text
    site.cluster("shared", {"limits: {": "limits: {stuck_s: 4, "})
    done = site.run("shared")
    said = done.stdout + done.stderr
    assert done.returncode == Exit.INFRA_FAILED, said
    assert "ended if that lasts 4 s (limits.stuck_s)" in said
    assert (
        "infra: no node of partition compute is up: mi0 drained (broken fan), mi1 drained (broken fan); it was waited for"
        in said
    )
    assert len(site.every_job()) == 1
    assert set(site.every_job().values()) == {"CANCELLED"}


def test_one_node_that_is_down_is_a_note(site: Site) -> None:
    """Jobs go to the others."""
    site.slurm.call("scontrol", "update", "nodename=mi1", "state=drain", "reason=new | disk")
    code, levels, text = doctor(site)
    assert (code, levels["nodes"]) == (0, "note")
    assert "1 of 2 take jobs; not mi1 drained (new | disk)" in text


def test_a_controller_that_is_away_is_a_problem(site: Site) -> None:
    """And nothing more is asked of Slurm; `doctor` alone still tells which clusters can run."""
    site.slurm.stop_controller()
    code, levels, text = doctor(site)
    assert (code, levels["controller"]) == (Exit.CHECK_FAILED, "problem"), text
    assert "partition" not in levels
