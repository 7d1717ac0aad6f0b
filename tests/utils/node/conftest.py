"""A node job on the small tree, with the fake vLLM."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix import cluster, select
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import environment
from utils.node.spec import NodeJob, Provenance, Run

RunNode = Callable[..., "tuple[int, list[dict[str, Any]], Path]"]


@pytest.fixture
def node_command(tree: Path, fake_environment: Path, tmp_path: Path) -> Callable[..., tuple[list[str], Path]]:
    """Writes a job file and gives the command that runs it, and its results folder."""

    def make(runs: int = 1) -> tuple[list[str], Path]:
        source = Folder(tree)
        job = select.chosen(Tree.of(source), ["r"]).jobs[0]
        out = tmp_path / "out"
        out.mkdir()
        spec = NodeJob(
            job=job,
            cluster=cluster.load(source, "local"),
            runs=[Run(index=index, arm="head") for index in range(runs)],
            allocation="test",
            out=str(out),
            tree=str(tree),
            program=[str(fake_environment / "bin/vllm")],
            python=str(fake_environment / "bin/python"),
            environment="given",
            provenance=Provenance(
                commit="a" * 40, clean=True, tree_commit="a" * 40, tree_clean=True, harness="test"
            ),
        )
        spec.job.serve.env["FAKE_VLLM_MARK"] = str(out)
        (tmp_path / "job.json").write_text(spec.model_dump_json(by_alias=True))
        return [sys.executable, "-P", "-m", "utils.node", str(tmp_path / "job.json")], out

    return make


@pytest.fixture
def run_node(node_command: Callable[..., tuple[list[str], Path]]) -> RunNode:
    """Runs a job with a fault to its end: exit code, events, results folder."""

    def run(fault: str = "", runs: int = 1) -> tuple[int, list[dict[str, Any]], Path]:
        command, out = node_command(runs)
        done = subprocess.run(
            with_fault(command, fault),
            env=environment(),
            input="",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not done.stderr, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], out

    return run


def with_fault(command: list[str], fault: str) -> list[str]:
    """The fault travels as the server's environment, because nothing else of the caller's reaches the fake."""
    path = Path(command[-1])
    spec = json.loads(path.read_text())
    spec["job"]["serve"]["env"]["FAKE_VLLM"] = fault
    path.write_text(json.dumps(spec))
    return command
