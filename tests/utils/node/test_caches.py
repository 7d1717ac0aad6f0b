"""What a server has compiled, by the files in its caches."""

from __future__ import annotations

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
