"""A verdict with its reason, of the REAL vLLM on a CPU: a slow operator planted in the head's model is named with its share."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli, run_git
from tests.utils.node.made import ran
from utils.pipeline.reasons import traces

pytestmark = [pytest.mark.real, pytest.mark.nightly]
NAME = "minimaxm3-tiny-cpu-vllm"
PLANTED_MS = 5
PLANTED = f"""

@torch.library.custom_op("planted::slow_sum", mutates_args=(), schema="(Tensor x) -> Tensor")
def _slow_sum(x):
    time.sleep({PLANTED_MS / 1000})
    return x.clone()
"""


def tree_with_a_slow_kernel(root: Path) -> None:
    """A commit with the tiny recipe on one worker, and experts beside it that wait in an operator of their own."""
    for folder in ("recipes", "kernels", "requirements"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = root / f"recipes/{NAME}.yaml"
    text = recipe.read_text().replace("tp: 2, ep: 2, concurrency: 1..4", "tp: 1, concurrency: 2")
    recipe.write_text(
        "".join(line for line in text.splitlines(keepends=True) if not line.startswith("kernel:"))
    )
    subprocess.run(["git", "init", "-qb", "main", str(root)], check=True)
    run_git(root, "add", "-A")
    run_git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")
    path = root / "kernels/vehicles/minimax_m3_on_cpu/experts.py"
    text, sums = path.read_text(), "output.copy_(total"
    assert sums in text
    text = text.replace(sums, "output.copy_(_slow_sum(total)")
    path.write_text(text.replace("import torch\n", "import time\n\nimport torch\n", 1) + PLANTED)


def test_a_planted_slow_kernel_is_named_with_its_share(cli: Cli, tmp_path: Path) -> None:
    """`run --pair --profile decode`: the pair is measured, then profiled, and the line names the operator and how much it is."""
    root, out, ledger = tmp_path / "tree", tmp_path / "out", str(tmp_path / "ledger.jsonl")
    tree_with_a_slow_kernel(root)
    asked = ["--pair", "HEAD", "--no-confirm", "--profile", "decode", "--tree", str(root), "--ledger", ledger]
    told = ran(out, NAME, *asked)
    ((point, by_arm),) = traces(out).items()
    assert set(by_arm) == {"base", "head"}
    (said,) = json.loads((out / "verdict.json").read_text())["reasons"]
    assert said["point"] == point
    first = said["kernels"][0]
    assert first["name"] == "planted::slow_sum"
    layers = round(first["ms"] / PLANTED_MS)
    assert layers == 3, "of the tiny model, with experts"
    assert first["ms"] == pytest.approx(layers * PLANTED_MS, rel=0.2)
    assert 0.6 < first["ms"] / said["measured_ms"] < 1.4
    assert "planted::slow_sum" in said["text"]
    assert f"where the time went: {said['text']}" in told
    again = cli("compare", str(out), "--ledger", ledger)
    assert f"where the time went: {said['text']}" in again.stdout
