"""Faults end well: a code and a message each, nothing lost that was measured, nothing left running. With the FAKE vLLM."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import environment
from tests.utils.node.conftest import RunNode, with_fault
from utils.node import record, record_file

FAULTS = {
    "exit-at-start": (Exit.SERVER_EXITED, "ended before it was ready", "ValueError: the fake server cannot start on purpose"),
    "never-ready": (Exit.SERVER_NOT_READY, "was not ready after 3 s", ""),
    "first-completion-kills": (Exit.SERVER_UNHEALTHY, "/health said 200, and the first completion failed", "RuntimeError: the fake engine died on purpose"),
    "die-mid-load": (Exit.SERVER_DIED, "the server ended under load", "torch.OutOfMemoryError: the fake server died under load on purpose"),
    "client-fails": (Exit.CLIENT_FAILED, "ended with status 5 and left no result", "RuntimeError: the fake client failed on purpose"),
    "zero-completed": (Exit.CLIENT_EMPTY, "none of 10 requests completed", "ConnectionError: refused on purpose"),
    "result-cut": (Exit.CLIENT_FAILED, "is not the detailed result of a known vLLM", ""),
}  # fmt: skip


def records(out: Path) -> list[record.Record]:
    return sorted(
        (record_file.read(path) for path in out.rglob("record.json")),
        key=lambda one: (one.run_index, one.position),
    )


def processes(out: Path) -> dict[int, bytes]:
    """Every process with this job's mark in its environment or its folder on its command line: its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
                if str(out).encode() in words + (entry / "environ").read_bytes():
                    found[int(entry.name)] = words
            except OSError:
                continue
    return found


def nothing_is_left(out: Path) -> bool:
    """No process of the job, and no half-written file."""
    return not processes(out) and not [path for path in out.rglob("*") if path.name.startswith(".")]


def test_a_healthy_run_measures_every_point(run_node: RunNode) -> None:
    """Without a fault all gates hold; so each fault below is what the fault makes."""
    code, events, out = run_node()
    found = records(out)
    assert code == Exit.OK, events
    assert [(one.point, one.status, one.position, one.points_before) for one in found] == [
        ("r/32x16-tp1-c1", "measured", 0, []),
        ("r/32x16-tp1-c2", "measured", 1, ["r/32x16-tp1-c1"]),
    ]
    assert all(gate.passed for one in found for gate in one.gates)
    assert all(one.load and one.load.requests == 10 * one.load.concurrency for one in found)
    assert found[0].load
    assert found[1].load
    assert found[0].load.seed != found[1].load.seed != found[1].load.warmup_seed
    assert [phase.name for phase in found[0].phases] == [
        "preflight",
        "server",
        "first completion",
        "client",
        "warm-up",
        "load",
        "gates",
    ]
    assert events[-1]["kind"] == "end"
    assert nothing_is_left(out)


def test_runs_have_fresh_servers_equal_seeds_and_equal_counts(run_node: RunNode) -> None:
    """The unit of comparison is the server start."""
    code, _, out = run_node(runs=2)
    found = records(out)
    assert code == Exit.OK
    assert [(one.run_index, one.position) for one in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    ports = {one.run_index: one.serve_argv[-1] for one in found}
    assert ports[0] != ports[1]
    assert found[0].load
    assert found[2].load
    assert (found[0].load.seed, found[0].load.requests) == (found[2].load.seed, found[2].load.requests)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_well(run_node: RunNode, fault: str) -> None:
    """Its own exit code, a message, the log's decisive line, a record that says why."""
    wanted, message, evidence = FAULTS[fault]
    code, _, out = run_node(fault)
    found = records(out)
    assert code == wanted
    assert len(found) == 2
    assert {one.status for one in found} == {"failed"}
    assert found[0].failure
    assert found[0].failure.reason == wanted.name
    assert message in found[0].failure.message
    assert any(evidence in line for line in found[0].failure.evidence) or not evidence
    assert nothing_is_left(out)


def test_a_call_that_never_ends_does_not_spoil_the_next_point(
    node_command: Callable[..., tuple[list[str], Path]],
) -> None:
    """Its process is ended, and the next call has a fresh one."""
    command, out = node_command()
    path = Path(with_fault(command, "first-load-hangs")[-1])
    spec = json.loads(path.read_text())
    spec["cluster"]["limits"]["client_s"] = 4
    path.write_text(json.dumps(spec))
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    found = records(out)
    assert done.returncode == Exit.CLIENT_FAILED
    assert [one.status for one in found] == ["failed", "measured"]
    assert found[0].failure
    assert "did not end within" in found[0].failure.message
    assert nothing_is_left(out)


def test_a_node_that_is_killed_leaves_no_load_behind(
    node_command: Callable[..., tuple[list[str], Path]],
) -> None:
    """SIGKILL gives it no chance; the kernel ends its server and its client's host, and the host's child with it."""
    command, out = node_command()
    env = environment({"TMPDIR": str(out.parent)})  # it cannot take its scratch folder away any more
    node = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert node.stdout
    for line in node.stdout:
        if '"load"' in line:
            node.kill()
            break
    node.wait()
    node.stdout.close()
    end = time.monotonic() + 5
    clients = [b"client_host", b"serve"]
    while time.monotonic() < end:
        left = [words for words in processes(out).values() if any(name in words for name in clients)]
        if not left:
            break
        time.sleep(0.1)
    assert not left
    for pid in processes(out):  # the fake engine, which unlike vLLM's does not watch its parent
        os.kill(pid, signal.SIGKILL)


def test_short_outputs_make_a_record_invalid(run_node: RunNode) -> None:
    """The figures are kept, and a gate says why they do not count."""
    code, _, out = run_node("output-short")
    found = records(out)
    assert code == Exit.GATE_FAILED
    assert {one.status for one in found} == {"invalid"}
    assert found[0].whole
    failed = {gate.name: gate.found for gate in found[0].gates if not gate.passed}
    assert list(failed) == ["output_lengths"]
    assert "1 of 10 requests differ from the draw" in failed["output_lengths"]


def test_a_taken_port_is_told_before_anything_starts(
    node_command: Callable[..., tuple[list[str], Path]],
) -> None:
    """The cluster may name a port; another process may have it."""
    command, out = node_command()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        path = Path(command[-1])
        spec = json.loads(path.read_text())
        spec["cluster"]["port"] = busy.getsockname()[1]
        path.write_text(json.dumps(spec))
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == Exit.PORT_TAKEN
    assert "is taken by another process" in done.stdout
    assert nothing_is_left(out)


def test_a_free_port_that_was_taken_meanwhile_is_no_failure(run_node: RunNode) -> None:
    """Another one is tried, three in all; between its choice and its use it is anybody's."""
    code, told, out = run_node("port-taken-once")
    assert code == 0
    assert any("another one is tried" in event.get("text", "") for event in told)
    assert {one.status for one in records(out)} == {"measured"}
    assert nothing_is_left(out)


def test_three_ports_that_are_taken_are_a_failure(run_node: RunNode) -> None:
    """Then it is not chance."""
    code, told, out = run_node("port-taken")
    assert code == Exit.PORT_TAKEN
    assert sum("another one is tried" in event.get("text", "") for event in told) == 2
    assert nothing_is_left(out)


def test_a_missing_model_folder_is_told_before_anything_starts(tree: Path, run_node: RunNode) -> None:
    """A folder of the node that is not there costs no server start."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("recipes/models/m", "/nowhere/model"))
    code, _, out = run_node()
    assert code == Exit.MODEL_MISSING
    assert "no config.json in /nowhere/model" in str(records(out)[0].failure)


def test_a_full_disk_keeps_whole_records(
    node_command: Callable[..., tuple[list[str], Path]], tmp_path: Path
) -> None:
    """A real small tmpfs in a mount namespace of its own: what was written before is whole, the rest is not there."""
    command, out = node_command()
    path = Path(command[-1])
    keep = tmp_path / "keep"
    small = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    script = (
        'mount -t tmpfs -o size=205m tmpfs "$OUT" && dd if=/dev/zero of="$OUT/ballast" bs=1k count=204500 2>/dev/null; '
        'truncate -s 201m "$OUT/ballast" 2>/dev/null; rm "$OUT/ballast"; '
        'head -c 4650000 /dev/zero > "$OUT/rest"; "$@"; code=$?; rm -f "$OUT/rest"; cp -r "$OUT" "$KEEP"; exit $code'
    )
    spec = json.loads(path.read_text())
    spec["job"]["points"][1]["protocol"]["requests-per-concurrency"] = (
        1000  # the second point's raw data do not fit
    )
    path.write_text(json.dumps(spec))
    env = environment() | {"OUT": str(out), "KEEP": str(keep)}
    hungry = script.replace('"$@"', '("$@" & pid=$!; while ! ls "$OUT"/run-*/*c1/record.json >/dev/null 2>&1; do sleep 0.02; done; '
                            'head -c 999999999 /dev/zero > "$OUT/rest2" 2>/dev/null; wait $pid)')  # fmt: skip
    done = subprocess.run(
        [*small, hungry, "sh", *command], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == Exit.STORAGE_FULL, done.stdout + done.stderr
    assert "No space left on device" in done.stdout
    assert [one.status for one in records(keep)] == ["measured"]
    assert nothing_is_left(keep)


PHASES = ["preflight", "server", "first completion", "warm-up", "load", "stop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_each_phase_leaves_nothing_behind(
    node_command: Callable[..., tuple[list[str], Path]], phase: str, number: signal.Signals
) -> None:
    """No process, no half-written file; what was measured stays, the rest says that it was interrupted."""
    command, out = node_command(runs=2)
    node = subprocess.Popen(
        with_fault(command, ""), env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    events: list[dict[str, Any]] = []
    assert node.stdout
    for line in node.stdout:
        events.append(json.loads(line))
        if events[-1]["kind"] == "phase" and events[-1]["name"] == phase:
            time.sleep(0.05 if phase in {"server", "load"} else 0)
            node.send_signal(number)
            break
    rest = node.stdout.read()
    node.wait(20)
    node.stdout.close()
    assert node.returncode == Exit.CANCELLED, rest
    assert nothing_is_left(out)
    found = records(out)
    if phase == "stop":
        assert [one.status for one in found[:2]] == ["measured", "measured"]
    else:
        assert {one.failure.reason for one in found if one.failure} == {"CANCELLED"}


def test_when_the_launcher_dies_the_node_ends_its_server(
    node_command: Callable[..., tuple[list[str], Path]],
) -> None:
    """SIGKILL of the parent reaches the node as SIGTERM."""
    command, out = node_command()
    shell = subprocess.Popen(
        ["sh", "-c", '"$@" & wait', "sh", *command], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert shell.stdout
    for line in shell.stdout:
        if '"warm-up"' in line:
            shell.kill()
            break
    shell.wait()
    end = time.monotonic() + 10
    while not nothing_is_left(out) and time.monotonic() < end:
        time.sleep(0.1)
    shell.stdout.close()
    assert nothing_is_left(out)
