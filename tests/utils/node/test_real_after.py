"""What is asked beside speed, of the REAL vLLM on a CPU: a profile, parity of a pair, and a task of the real lm-eval."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, command, environment
from tests.utils.node.made import TINY, ran, records

pytestmark = [pytest.mark.real, pytest.mark.nightly]


def test_a_profile_of_steady_decode(tmp_path: Path) -> None:
    """Ten steps of four requests, read by `profile`; its record counts for nothing."""
    ran(tmp_path / "out", f"{TINY}/128x64-tp1-c4", "--profile", "decode")
    found = records(tmp_path / "out")
    assert [one.status for one in found] == ["invalid"]
    assert "not_profiled" in [gate.name for gate in found[0].gates if not gate.passed]
    assert "--profiler-config" in found[0].serve_argv
    traces = list((tmp_path / "out").rglob("*.pt.trace.json.gz"))
    assert len(traces) == 1
    assert traces[0].stat().st_size < 5_000_000
    said = subprocess.run(
        command("profile", str(traces[0])),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "10" in said.stdout


def test_parity_and_a_task_on_the_servers_of_a_pair(tmp_path: Path) -> None:
    """A pair of the same thing: decode and prefill pass, forty questions are answered by both arms, and no question is lost."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "recipes", tree / "recipes")
    recipe = tree / f"recipes/{TINY}.yaml"
    recipe.write_text(recipe.read_text() + "accuracy: {task: first_word, limit: 40}\n")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"],
    ):
        subprocess.run(["git", *words], cwd=tree, check=True)
    ran(tmp_path / "out", f"{TINY}/128x64-tp1-c4", "--pair", "HEAD", "--no-confirm", "--tree", str(tree))
    found = records(tmp_path / "out")
    assert [one.arm for one in found] == ["base", "head", "head", "base"]
    for one in found:
        assert one.accuracy[-1].name == "first_word"
        assert one.accuracy[-1].figures["questions"] == 40
    for one in found[1:]:
        assert [(a.name, a.verdict) for a in one.accuracy] == [
            ("decode at 4", "passed"),
            ("prefill", "passed"),
            ("first_word", "passed"),
        ]
        assert one.accuracy[-1].figures["lost"] == one.accuracy[-1].figures["won"] == 0
