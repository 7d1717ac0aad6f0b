"""The load client's host: its start is no call's time, and its death is told, survived and not covered up. With the FAKE vLLM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import environment
from tests.utils.node.test_faults import nothing_is_left, records
from utils.node.process import descendants

Command = Callable[..., "tuple[list[str], Path]"]


def host_of(node: int) -> int:
    """The client's host below a node program; a call is a child of it with the same command line."""
    found = (pid for pid in descendants(node) if b"client_host" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return min(found)


def slow_to_import(command: list[str], fake: Path, seconds: float, **limits: float) -> list[str]:
    """The client's Python takes long before it answers, as vLLM's import does on a busy machine."""
    (fake / "bin/slow").write_text(f'#!/bin/sh\nsleep {seconds}\nexec {fake}/bin/python "$@"\n')
    (fake / "bin/slow").chmod(0o755)
    path = Path(command[-1])
    spec = json.loads(path.read_text())
    spec["python"] = str(fake / "bin/slow")
    spec["cluster"]["limits"] |= limits
    path.write_text(json.dumps(spec))
    return command


def test_the_clients_start_is_no_part_of_a_call(node_command: Command, fake_environment: Path) -> None:
    """It has a phase, and a limit of its own."""
    command, out = node_command()
    slow_to_import(command, fake_environment, 4, client_s=3)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == Exit.OK, done.stdout
    phases = {phase.name: phase.duration_s for phase in records(out)[0].phases}
    assert phases["client"] > 2
    assert phases["warm-up"] < 2


def test_a_client_that_does_not_start_says_which_limit(node_command: Command, fake_environment: Path) -> None:
    """Not the one of a call."""
    command, out = node_command()
    slow_to_import(command, fake_environment, 20, client_start_s=2)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == Exit.CLIENT_FAILED
    assert "did not start within the cluster's limits.client_start_s" in done.stdout
    assert nothing_is_left(out)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_host_that_dies_costs_one_point(node_command: Command, number: signal.Signals) -> None:
    """Its pipe is broken; the point says so, and every other point of both runs is measured."""
    command, out = node_command(2)
    node = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert node.stdout
    killed = False
    lines = []
    for line in node.stdout:
        lines.append(line)
        if not killed and '"done"' in line and '"client"' in line:
            os.kill(host_of(node.pid), number)
            killed = True
    assert node.wait(60) == Exit.CLIENT_FAILED, lines
    node.stdout.close()
    found = records(out)
    assert [one.status for one in found].count("measured") == 3, [one.failure for one in found]
    (failed,) = (one for one in found if one.failure)
    assert failed.failure
    assert failed.failure.message == f"the load client's process was ended by {number.name}"
    assert nothing_is_left(out)


def test_a_host_that_dies_while_it_waits_for_a_call(node_command: Command) -> None:
    """Between two points: what could not be sent is in its pipe when that is closed."""
    command, out = node_command(2)
    node = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert node.stdout
    killed = False
    for line in node.stdout:
        if not killed and '"gates"' in line and '"phase"' in line:
            os.kill(host_of(node.pid), signal.SIGKILL)
            killed = True
            time.sleep(0.1)
    assert node.wait(60) == Exit.CLIENT_FAILED
    node.stdout.close()
    assert sorted(one.status for one in records(out)) == ["failed", "measured", "measured", "measured"]
