"""The kernel in the REAL vLLM: its own model class, two workers, a real expert map, on a CPU by the test vehicle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from matrix.errors import Exit
from matrix.plan import KernelChoice
from tests.conftest import ROOT, Cli, command, environment
from utils.node import marker, record, record_file

pytestmark = pytest.mark.real
NAME = "minimaxm3-tiny-cpu-vllm"


def one_point(tmp_path: Path, change: tuple[str, str]) -> Path:
    """A tree with the tiny recipe, changed, and one point of it."""
    root = tmp_path / "tree"
    for folder in ("recipes", "kernels", "requirements"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = root / f"recipes/{NAME}.yaml"
    old, new = change
    text = recipe.read_text().replace("concurrency: 1..4", "concurrency: 2")
    assert old in text
    recipe.write_text(text.replace(old, new))
    return root


def measured(cli: Cli, root: Path, out: Path, status: Exit) -> record.Record:
    done = cli("run", NAME, "--tree", str(root), "--out", str(out))
    assert done.returncode == status, done.stdout + done.stderr
    (path,) = out.rglob("record.json")
    return record_file.read(path)


def judged(found: record.Record, expect: str) -> tuple[bool, bool]:
    """What the gate says of these very counts under another expectation; whether it has words for it."""
    choice = KernelChoice(name="minimax-m3-ep", variant="compact-bf16", expect=expect, files="")
    passed, words = marker.judge(choice, 2, found.marker)
    return passed, bool(words)


def path_gate(found: record.Record) -> record.Gate:
    return next(gate for gate in found.gates if gate.name == "kernel_path")


def test_expert_parallel_takes_the_kernels_path(cli: Cli, tmp_path: Path) -> None:
    """Both workers count decode steps on the kernel's path and long prompts on vLLM's; every other gate holds too."""
    root = one_point(tmp_path, ("TP2 and EP2", "TP2 and EP2"))
    found = measured(cli, root, tmp_path / "out", Exit.OK)
    assert all(gate.passed for gate in found.gates)
    assert found.counts
    assert [one.worker for one in found.marker] == [0, 1]
    for one in found.marker:
        assert (one.layers.gated, one.layers.refused) == (3, {})
        assert set(one.taken) <= {1, 2}
        assert sum(one.taken.values()) >= found.counts.output_tokens / 2 - found.counts.requests
        assert one.fallback
        assert min(one.fallback) > 64
        assert one.taken_most == one.taken
        assert one.bound == 64
    assert found.marker[0].taken == found.marker[1].taken
    assert judged(found, "fallback") == (False, True), "EP points that were to fall back are invalid"


@pytest.mark.nightly
def test_without_expert_parallelism_a_claim_to_take_it_is_invalid(cli: Cli, tmp_path: Path) -> None:
    """The plugin is loaded and its classes are asked, which proves nothing: no step is counted on its path."""
    root = one_point(tmp_path, ("tp: 2, ep: 2", "tp: 2"))
    found = measured(cli, root, tmp_path / "out", Exit.GATE_FAILED)
    assert found.status == "invalid"
    assert not path_gate(found).passed
    assert path_gate(found).found.startswith("never taken (expert parallelism: False, wanted True); ")
    assert all(not one.taken_most and one.fallback for one in found.marker)
    assert judged(found, "fallback") == (True, True)


@pytest.mark.nightly
def test_four_ranks_take_the_kernels_path(tmp_path: Path) -> None:
    """EP4, as MiniMax-M3 on four GPUs: each worker has two of the eight experts, in four processes on whatever cores there are."""
    root = one_point(tmp_path, ("tp: 2, ep: 2", "tp: 4, ep: 4"))
    for folder in ("matrix", "utils"):  # clusters are the harness's own, so that this tree is one
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".environments").symlink_to(ROOT / ".environments")
    cluster = root / "recipes/clusters/local.yaml"
    cluster.write_text(
        cluster.read_text().replace("count: 2", "count: 4").replace("ready_s: 300", "ready_s: 900")
    )
    out = tmp_path / "out"
    done = subprocess.run(
        command("run", NAME, "--out", str(out)),
        cwd=root,
        env=environment({"PYTHONPATH": str(root)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    (path,) = out.rglob("record.json")
    found = record_file.read(path)
    assert all(gate.passed for gate in found.gates)
    assert [(one.worker, one.local_experts) for one in found.marker] == [(n, 2) for n in range(4)]
    for one in found.marker:
        assert (one.layers.gated, one.layers.refused) == (3, {})
        assert one.taken == one.taken_most == found.marker[0].taken
        assert set(one.taken) <= {1, 2}
    for tokens, steps in found.marker[0].taken.items():
        local = [one.routed[tokens].local for one in found.marker]
        assert sum(local) == steps * tokens * 2 * 3, (
            "each of two routes a token in three layers is one worker's own"
        )
        assert min(local) > 0
