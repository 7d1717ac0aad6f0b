"""A run sees and signals nothing of what runs outside of it, where the machine allows that; else it runs all the same, and the record says so."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from utils.node.host import isolation

pytestmark = pytest.mark.hostile


@pytest.mark.parametrize("runtime", ["none", "charliecloud"])
def test_a_run_cannot_signal_what_is_outside(runtime: str) -> None:
    """Every process that it sees gets a SIGKILL from it; this test and its child live on."""
    assert isolation.way(runtime) is not None, "these tests want a machine that allows namespaces"
    with subprocess.Popen(["sleep", "60"]) as outside:
        script = '[ $$ -eq 1 ] || exit 9; for one in /proc/[0-9]*; do kill -9 "${one#/proc/}" 2>/dev/null; done; kill -9 -1; kill -9 "$1"; echo seen $$'
        done = subprocess.run(
            [*isolation.entering(runtime), "sh", "-c", script, "sh", str(outside.pid)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        alive = outside.poll() is None
        outside.kill()
    assert alive
    assert done.stdout == "seen 1\n", "the first of its own namespace, which its own signals do not end"


def test_nothing_of_a_run_outlives_it(tmp_path: Path) -> None:
    """A process that left its session and its parent ends with the run's first one."""
    assert isolation.way("none") is not None, "these tests want a machine that allows namespaces"
    mark = tmp_path / "mark"
    script = f"setsid sh -c 'while :; do date +%s.%N >{mark}; sleep 0.05; done' >/dev/null 2>&1 & sleep 0.4"
    subprocess.run([*isolation.entering("none"), "sh", "-c", script], check=True)
    first = mark.read_text()
    time.sleep(0.4)
    assert mark.read_text() == first


@pytest.mark.parametrize("code", [0, 3, 77])
def test_the_exit_code_is_the_programs(code: int) -> None:
    """Which the launcher reads."""
    done = subprocess.run([*isolation.entering("none"), "sh", "-c", f"exit {code}"], check=False)
    assert done.returncode == code


def test_where_namespaces_are_forbidden_the_run_begins_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a FAKE unshare that refuses: the record says that processes are the node's."""
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert isolation.held("none") == isolation.SHARED
    done = subprocess.run(
        [*isolation.entering("none"), "echo", "here"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "here\n"


def test_pyxis_has_none() -> None:
    """It makes no PID namespace."""
    assert isolation.held("pyxis") == isolation.SHARED
