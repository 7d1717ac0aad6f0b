"""What a server has compiled, by the files in its caches."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.conftest import write
from utils.node import caches


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (".triton/cache/AB/fn.hsaco", "triton/cache/AB/fn.hsaco"),
        (".triton/cache/AB/fn.cubin", "triton/cache/AB/fn.cubin"),
        (".aiter/jit/module_moe.so", "aiter/jit/module_moe.so"),
        (".cache/inductor/x/y.so", "inductor/x/y.so"),
        (".cache/flashinfer/0.7/90a/cached_ops/norm/norm.so", "flashinfer/0.7/90a/cached_ops/norm/norm.so"),
        (".nv/ComputeCache/0/1/abc", "cuda/ComputeCache/0/1/abc"),
        (".flydsl/cache/abc/0.pkl", "flydsl/cache/abc/0.pkl"),
        (".cache/comgr/llvmcache-1", "comgr/llvmcache-1"),
    ],
)
def test_what_a_compiler_leaves_is_seen(tmp_path: Path, path: str, name: str) -> None:
    """Whatever it writes into the log."""
    before = caches.compiled(tmp_path)
    write(tmp_path / path, "")
    assert caches.compiled(tmp_path) - before == {name}


@pytest.mark.parametrize(
    "path",
    [
        ".triton/cache/AB/lock",
        ".cache/flashinfer/flashinfer_jit.log",
        ".cache/vllm/usage.json",
        ".config/x.so",
    ],
)
def test_what_else_is_there_is_not(tmp_path: Path, path: str) -> None:
    """Locks, logs, texts, and other folders of a home."""
    write(tmp_path / path, "")
    assert caches.compiled(tmp_path) == frozenset()


@pytest.mark.hostile
@pytest.mark.parametrize("linked", ["", ".cache", ".cache/vllm", ".triton"])
def test_no_cache_is_looked_for_behind_a_link(tmp_path: Path, linked: str) -> None:
    """The server's side can put one there, and it would lead to files of the recorder's container."""
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    for folder in (".cache/vllm", ".triton", "vllm", ""):
        write(elsewhere / folder / "secret.so", "x")
    link = home / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    assert caches.keep(home, tmp_path / "kept") == []
    assert not (tmp_path / "kept").exists()


@pytest.mark.hostile
def test_what_is_no_file_is_not_kept(tmp_path: Path) -> None:
    """A pipe and a socket among what a server compiled, and a link, which stays one."""
    home = tmp_path / "home"
    write(home / ".triton/a/fn.cubin", "x")
    os.mkfifo(home / ".triton/a/pipe")
    (home / ".triton/a/link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / ".triton/s"))
        assert caches.keep(home, tmp_path / "kept") == ["triton"]
    assert sorted(path.name for path in (tmp_path / "kept/triton/a").iterdir()) == ["fn.cubin", "link"]
    assert (tmp_path / "kept/triton/a/link").is_symlink()
