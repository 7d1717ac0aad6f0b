"""The benchmark of `profile` measures what it says, and memory does not grow with the file as a parser's would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.profile_trace import cost, made

READ = "import sys\nfrom pathlib import Path\nfrom utils.profile.analyse import analysis\nfrom utils.profile.trace import Bounds\n"
SIZE_MB = 30


@pytest.mark.parametrize("device", [True, False])
def test_memory_is_a_part_of_the_file(tmp_path: Path, device: bool) -> None:  # noqa: FBT001 - a case
    """`json.load` takes four times the file; here all of it with what is computed takes less than once."""
    path = made(tmp_path / "t.json", SIZE_MB * 1_000_000, device=device)
    assert SIZE_MB <= path.stat().st_size / 1e6 < SIZE_MB + 1
    idle = cost(READ)[-1]
    peak = cost(f"{READ}analysis(Path({str(path)!r}), bounds=Bounds(1.0)).profile()")[-1]
    assert peak - idle < SIZE_MB


@pytest.mark.parametrize("device", [True, False])
def test_memory_grows_with_a_dense_trace_by_less_than_half_of_it(tmp_path: Path, device: bool) -> None:  # noqa: FBT001 - a case
    """Of 1 GB all but a tenth of the 500 MB that it may take; what does not grow, such as a block's figures, is left out."""
    peaks = []
    for size_mb in (3 * SIZE_MB, 6 * SIZE_MB):
        path = made(tmp_path / "t.json", size_mb * 1_000_000, device=device, densely=True)
        peaks.append(cost(f"{READ}analysis(Path({str(path)!r}), bounds=Bounds(1.0)).profile()")[-1])
    assert peaks[1] - peaks[0] < 0.45 * 3 * SIZE_MB


@pytest.mark.parametrize("device", [True, False])
@pytest.mark.parametrize("densely", [True, False])
def test_the_made_traces_are_traces(tmp_path: Path, device: bool, densely: bool) -> None:  # noqa: FBT001 - cases
    """Whole JSON with the categories that they are to have."""
    body = json.loads(made(tmp_path / "t.json", 500_000, device=device, densely=densely).read_text())
    kinds = {one["cat"] for one in body["traceEvents"]}
    on_device = {"cuda_runtime", "kernel"} if device else set()
    assert kinds == {"user_annotation"} | on_device | (set() if device and densely else {"cpu_op"})
