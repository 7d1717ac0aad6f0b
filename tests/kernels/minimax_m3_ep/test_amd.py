"""The kernels compile for an MI300X, without one: matrix instructions, no spills, local memory within bounds. No speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LDS_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def kernels() -> dict[str, dict[str, int]]:
    """Of every shipped configuration of gfx942, by name; in a process of its own, for the interpreter cannot compile."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.minimax_m3_ep.compile_amd"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one.pop("name"): one for one in found}


def test_every_product_uses_matrix_instructions(kernels: dict[str, dict[str, int]]) -> None:
    """Both variants and vLLM's path as the benchmark has it, both products, with the local experts of EP8 and of EP4."""
    products = {name: one for name, one in kernels.items() if name.endswith(("first", "second"))}
    layouts = {name.partition(",")[0] for name in products}
    assert layouts == {f"{path} of {n}" for path in ("compact-bf16", "mxfp8", "today") for n in (16, 32)}
    assert all(one["mfma"] > 0 for one in products.values()), products


def test_nothing_spills_and_local_memory_suffices(kernels: dict[str, dict[str, int]]) -> None:
    """Of any launch, those of the benchmark among them."""
    assert {"widening", "widening wide", "norm", "reading", "today of 16 swiglu"} <= set(kernels)
    assert all(one["spills"] == 0 for one in kernels.values()), kernels
    assert all(one["lds"] <= LDS_BYTES for one in kernels.values()), kernels
