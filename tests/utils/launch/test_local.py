"""The local launcher and this machine's GPUs, with FAKE vendors' tools and the FAKE vLLM: what is declared is there, or nothing is measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, Cli, commit, run_git
from tests.utils.node.host.fakes import H100, NVIDIA, fake_tool
from utils.launch import local
from utils.node import process, variables
from utils.node.record import Record
from utils.node.spec import NodeJob
from utils.results.collect import collect
from utils.setup import environments


class Machine:
    """A checkout whose cluster `local` declares GPUs, and what is first on PATH."""

    def __init__(self, cli: Cli, tree: Path, fake: Path, folder: Path) -> None:
        self.cli, self.tree, self.fake, self.folder = cli, tree, fake, folder
        self.env: dict[str, str] = {}
        (folder / "tools").mkdir()
        for name in ("matrix", "utils"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        run_git(tree, "init", "--quiet", "-b", "main")
        commit(tree, "base")

    def declares(self, devices: str) -> None:
        """Write the cluster file's line."""
        path = self.tree / "recipes/clusters/local.yaml"
        lines = [
            f"devices: {devices}" if one.startswith("devices") else one
            for one in path.read_text().splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")

    def takes(self, **names: str) -> None:
        """Write its `env_from`."""
        path = self.tree / "recipes/clusters/local.yaml"
        path.write_text(f"{path.read_text()}env_from: {json.dumps(names)}\n")

    def run(self, out: str, *more: str) -> tuple[int, str]:
        """`servematrix run` there; its exit code and what it said."""
        where = ["--environment", str(self.fake), "--out", str(self.folder / out)]
        path = f"{self.folder / 'tools'}:{os.environ['PATH']}"
        env = {"PATH": path, "PYTHONPATH": str(self.tree), **self.env}
        done = self.cli("run", "r", *where, *more, env=env, cwd=self.tree)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path) -> Machine:
    return Machine(cli, tree, fake_environment, tmp_path)


def test_gpus_that_are_not_there_are_not_measured(machine: Machine) -> None:
    """A machine without any, one with others, and one with fewer: one clear sentence, the Slurm preflight's exit code, no record."""
    machine.declares("{kind: cuda, model: A100, arch: sm80, count: 8}")
    fake_tool(machine.folder / "tools", "nvidia-smi", "echo 'No devices were found'; exit 6")
    code, text = machine.run("none")
    assert code == Exit.PREFLIGHT_FAILED, text
    assert (
        "this machine is not what recipes/clusters/local.yaml says: 0 GPUs where 8 are wanted (devices.count)"
        in text
    )
    left = json.loads(next((machine.folder / "none").rglob("failure.json")).read_text())
    assert (left["kind"], left["exit"]) == ("infra", Exit.PREFLIGHT_FAILED)
    assert "0 GPUs where 8 are wanted" in left["cause"]
    fake_tool(machine.folder / "tools", "nvidia-smi", NVIDIA.replace("MODE", "Disabled"))
    code, text = machine.run("other")
    assert code == Exit.PREFLIGHT_FAILED, text
    assert "2 GPUs where 8 are wanted (devices.count)" in text
    assert f"the GPUs are {H100}, and the cluster file says A100 (devices.model)" in text
    assert not list(machine.folder.rglob("record.json"))


def test_a_record_says_which_gpus_they_are(machine: Machine) -> None:
    """Model, driver, serials, firmware, power cap, clock, partition; all but the serials are in the observed key."""
    fake_tool(machine.folder / "tools", "nvidia-smi", NVIDIA.replace("MODE", "Disabled"))
    machine.declares("{kind: cuda, model: H100, arch: sm90, count: 2}")
    code, text = machine.run("h100")
    records = collect([machine.folder / "h100"])
    assert code == 0, text
    one = records[0]
    assert (one.node.gpu_model, one.node.driver, one.node.gpu_serials) == (
        H100,
        "570.148.08",
        ["1650", "1651"],
    )
    assert (one.node.power_cap_w, one.node.clock_mhz, one.node.partition) == (700, 1980, "whole")
    assert one.node.transparent_hugepage
    found = observed(one)
    assert found["gpu"] == H100
    assert found["firmware"] == {"vbios": "96.00.89.00.01"}
    assert (found["driver"], found["partition"], found["power_cap_w"], found["clock_mhz"]) == (
        "570.148.08",
        "whole",
        700.0,
        1980,
    )
    assert "1650" not in json.dumps(found), "two nodes alike have one key"


POWER = """\
case "$*" in *power.draw*) while sleep 0.2; do for n in 0 1; do echo "$n, 500.00, 90, 1980, 2619, 1000, 50, 0x0"; done; done;; esac
"""
"""A FAKE nvidia-smi that is asked for samples; everything else the other one answers."""


def test_power_is_measured_in_every_run_of_a_pair(machine: Machine) -> None:
    """The meter goes on behind the canaries: what is swept away after each program is that program's."""
    fake_tool(machine.folder / "tools", "nvidia-smi", POWER + NVIDIA.replace("MODE", "Disabled"))
    machine.declares("{kind: cuda, model: H100, arch: sm90, count: 2}")
    commit(machine.tree, "two H100s")
    code, text = machine.run("pair", "--pair", "main", "--no-confirm")
    assert code == 0, text
    records = collect([machine.folder / "pair"])
    assert len({one.run_index for one in records}) == 4
    assert all(one.power and one.power.samples and not one.power.invalid for one in records), [
        one.power for one in records
    ]


@pytest.mark.nightly
def test_other_firmware_is_another_observed_key(machine: Machine) -> None:
    """Nodes that differ in it are not taken for the same."""
    machine.declares("{kind: cuda, model: H100, arch: sm90, count: 2}")
    keys = set()
    for version in ("96.00.89.00.01", "96.00.99.00.01", "96.00.89.00.01"):
        script = NVIDIA.replace("MODE", "Disabled").replace("96.00.89.00.01", version)
        fake_tool(machine.folder / "tools", "nvidia-smi", script)
        code, text = machine.run(f"run-{len(list(machine.folder.glob('run-*')))}")
        assert code == 0, text
    for folder in sorted(machine.folder.glob("run-*")):
        one = next(record for record in collect([folder]) if record.observed)
        keys.add((json.dumps(observed(one)["firmware"]), one.observed.key if one.observed else ""))
    assert len(keys) == 2


def observed(one: Record) -> dict[str, object]:
    assert one.observed
    found: dict[str, object] = one.observed.parts["observed"]
    return found


def test_the_server_gets_what_the_cluster_takes_from_the_environment(machine: Machine) -> None:
    """A token of one's own, or the GPUs that it may use: seen by a fault that only the FAKE server's environment can ask for."""
    machine.takes(FAKE_VLLM="WHICH_FAULT", OTHER="NOT_SET_HERE")
    machine.env = {"WHICH_FAULT": "exit-at-start"}
    _, text = machine.run("taken")
    assert "the server ended before it was ready" in text
    machine.env = {}
    assert machine.run("not-set")[0] == 0


def test_what_a_cluster_takes_is_the_servers_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """LD_PRELOAD would change the program that measures, and PYTHONINSPECT the code that it ends with."""
    machine.takes(A="LD_PRELOAD", B="PYTHONINSPECT", C="NOT_SET_HERE")
    machine.run("taken")
    (path,) = (machine.folder / "taken").glob("jobs/*/job.json")
    spec = NodeJob.model_validate(json.loads(path.read_text()))
    given: dict[str, str] = {}

    def popen(command: list[str], *, env: dict[str, str], **_: object) -> None:
        del command
        given.update(env)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(process, "adopt_orphans", lambda: None)  # of the tests' own process it would last
    monkeypatch.setenv("LD_PRELOAD", "/x.so")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    environment = environments.Environment(machine.fake)
    with pytest.raises(KeyboardInterrupt):
        local._start(environment, spec, tmp_path, lambda _: None)
    assert not {"LD_PRELOAD", "PYTHONINSPECT"} & given.keys()
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("LD_PRELOAD")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wanted = variables.wanted(spec, tmp_path, tmp_path).given
    assert (wanted["A"], wanted["B"], wanted.get("C")) == ("/x.so", "1", None)
