"""The main job with the REAL vLLM: real server, real client, every gate."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, Cli, command, environment
from tests.utils.node.made import TINY, ran, records
from tests.utils.node.test_faults import nothing_is_left
from utils.node.gates import GATES
from utils.results.verdict.matching import match

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of three points at two lengths."""
    out = tmp_path_factory.mktemp("real") / "out"
    selectors = [f"{TINY}/128x64-tp1-c1", f"{TINY}/128x64-tp1-c4", f"{TINY}/256x64-tp1-c2"]
    assert f"records: {out}" in ran(out, *selectors, "--runs", "2")
    return out


def test_every_gate_holds_on_real_vllm(measured: Path) -> None:
    """The draw, the identities and the server's own counters agree with the client."""
    found = records(measured)
    assert len(found) == 6
    for one in found:
        assert one.status == "measured"
        assert [gate.name for gate in one.gates] == [gate.__name__ for gate in GATES]
        assert all(gate.passed for gate in one.gates)
        assert one.vllm_version.startswith("0.32.0")
        assert one.whole
        assert 0.0005 < one.whole.tpot_s.mean < 0.5
        assert one.counts
        assert 0.9 * one.counts.output_tokens <= one.counts.chunks <= one.counts.output_tokens
        assert one.telemetry
        assert 0 < one.telemetry.client_cpu_share < 0.6
        assert one.telemetry.server_rss_peak_bytes > 500_000_000
        assert one.observed
        assert one.observed.reusable
        assert one.node.server_cores != one.node.client_cores


def test_two_runs_of_a_point_sent_the_same_prompts(measured: Path) -> None:
    """Equal seeds, counts and lengths; fresh servers; comparable without naming a difference."""
    found = records(measured)
    first, second = ([one for one in found if one.run_index == index] for index in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert one.load
        assert other.load
        assert (one.load.seed, one.load.requests) == (other.load.seed, other.load.requests)
        assert one.counts
        assert other.counts
        sent = ("requests", "completed", "input_tokens", "output_tokens")  # a busy machine merges chunks
        assert [getattr(one.counts, name) for name in sent] == [getattr(other.counts, name) for name in sent]
        assert one.observed
        assert other.observed
        assert one.observed.key == other.observed.key
    assert len(match(first, second).both) == 3


def test_phases_cover_the_job(measured: Path) -> None:
    """What the harness adds to a point beside the server's and the client's own time is below a second."""
    events = json.loads((measured / "plan.json").read_text())
    assert events["points"] == 3
    for one in records(measured):
        names = [phase.name for phase in one.phases]
        assert names[:4] == ["preflight", "server", "first completion", "client"]
        assert names[-3:] == ["warm-up", "load", "gates"]
    assert not [path for path in measured.rglob("*") if path.name.startswith(".")]


def test_a_real_server_that_cannot_start_says_why(cli: Cli, tree: Path, tmp_path: Path) -> None:
    """An impossible flag: the decisive line of vLLM's own log is in the error."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tree / "recipes/models/m" / name).write_bytes(
            (ROOT / f"recipes/models/{TINY.removesuffix('-cpu-vllm')}" / name).read_bytes()
        )
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("block-size: 16", "load-format: nonsense"))
    done = cli("run", "r", "--tree", str(tree), "--out", str(tmp_path / "out"))
    assert done.returncode == Exit.SERVER_EXITED, done.stdout
    assert "nonsense" in done.stdout
    assert "ended before it was ready" in done.stdout
    assert {one.status for one in records(tmp_path / "out")} == {"failed"}


def test_ctrl_c_while_the_real_server_is_loaded_leaves_nothing(tmp_path: Path) -> None:
    """Server, engine, worker and client are all gone."""
    out = tmp_path / "out"
    arguments = command("run", f"{TINY}/128x64-tp1-c1", f"{TINY}/128x64-tp1-c2", "--out", str(out))
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.monotonic() + 240
    while (
        not list(out.rglob("c2/warmup.log"))
        and not list(out.rglob("*-c2/warmup.log"))
        and time.monotonic() < end
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == Exit.CANCELLED, shown
    assert [one.status for one in sorted(records(out), key=lambda one: one.position)] == [
        "measured",
        "cancelled",
    ]
    assert nothing_is_left(out)
    names = [
        (entry / "cmdline").read_bytes()
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (entry / "cmdline").exists()
    ]
    assert not [name for name in names if b"VLLM::" in name]
