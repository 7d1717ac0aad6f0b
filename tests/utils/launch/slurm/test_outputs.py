"""What three real Slurms print is read alike: golden outputs of tests/slurm/capture.py."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from utils.launch.slurm import client, sight
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.states import from_sacct, from_squeue

FILES = sorted((ROOT / "tests/data/slurm-outputs").glob("*.yaml"))
RELEASES = {"22.05", "24.11", "26.05"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def said(request: pytest.FixtureRequest) -> dict[str, Any]:
    """All answers of one release."""
    path: Path = request.param
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_every_release_is_there() -> None:
    """Debian's stable, the one after it, and its newest."""
    assert {path.stem for path in FILES} == RELEASES


def test_jobs(said: dict[str, Any]) -> None:
    """States, exit codes and reasons; no word of any release is unknown."""
    jobs = {one.name: one for one in from_squeue(said["squeue"]["stdout"])}
    assert len(jobs) == 9
    assert not any(one.unknown for one in jobs.values())
    assert {name for name, one in jobs.items() if one.over} == {"good", "three", "signal", "ended"}
    assert {name for name, one in jobs.items() if one.waiting} == {"waits", "held", "later", "drained"}
    assert (jobs["good"].state, jobs["good"].exit_code, jobs["good"].node) == ("COMPLETED", "0:0", "mi0")
    assert (jobs["three"].state, jobs["three"].exit_code) == ("FAILED", "3:0")
    assert (jobs["signal"].state, jobs["signal"].exit_code) == ("FAILED", "0:10")
    assert jobs["ended"].state == "CANCELLED"
    assert (jobs["held"].reason, jobs["later"].reason) == ("JobHeldUser", "BeginTime")
    assert "mi1" in jobs["drained"].reason or jobs["drained"].reason.startswith("ReqNode")


def test_nodes_and_partitions(said: dict[str, Any]) -> None:
    """A drained node keeps its reason, bar and all; one without power takes nothing."""
    (partition,) = sight.partitions(said["partitions"]["stdout"])
    assert (partition.name, partition.nodes, partition.limit_s) == ("compute", 3, float("inf"))
    nodes = {one.name: one for one in sight.nodes(said["nodes"]["stdout"])}
    assert {name: one.takes for name, one in nodes.items()} == {"mi0": True, "mi1": False, "mi2": False}
    assert nodes["mi1"].reason == "ECC errors | row 3"
    assert [sight.gres_count(one.gres, "gpu:mi300x:8") for one in nodes.values()] == [8, 8, 8]


def test_accounting_that_is_off(said: dict[str, Any]) -> None:
    """Its refusal is no answer; the completion file is one as long as sacct reads it (before 23.11)."""
    assert from_sacct(said["sacct"]["stdout"]) == []
    assert said["sacct"]["rc"] != 0
    found = from_sacct(said["completion"]["stdout"])
    if said["completion"]["rc"] == 0 and found:
        assert [(one.id, one.state, one.exit_code) for one in found] == [(2, "FAILED", "3:0")]


@pytest.mark.parametrize("case", ["partition", "gres", "node", "memory"])
def test_a_refusal_is_an_answer(said: dict[str, Any], case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no job to look for, and a person reads Slurm's words."""
    refused = said["refused"][case]
    done = SimpleNamespace(returncode=refused["rc"], stdout=refused["stdout"], stderr=refused["stderr"])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(SlurmError) as caught:
        client.call(["sbatch"])
    assert not caught.value.unanswered
    assert "Batch job submission failed" in str(caught.value)


def test_a_controller_that_is_away_has_not_answered(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody concludes from it that a job is gone."""
    away = SimpleNamespace(returncode=1, stdout="", stderr=said["away"]["stderr"])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: away)
    with pytest.raises(SlurmError) as caught:
        client.call(["squeue"])
    assert caught.value.unanswered
