"""Runs of the real vLLM and their records, for the tests here."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import ROOT, command, environment
from utils.node import record_file
from utils.node.record import Record

TINY = "qwen3moe-tiny-cpu-vllm"


def ran(out: Path, *words: str) -> str:
    """What a run that went well says."""
    done = subprocess.run(
        command("run", *words, "--out", str(out)),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def records(out: Path) -> list[Record]:
    return [record_file.read(path) for path in sorted(out.rglob("record.json"))]
