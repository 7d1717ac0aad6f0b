"""A FAKE amd-smi for the tests here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import write
from tests.utils.node.host.fakes import AMD_FIRMWARE, AMD_METRIC, AMD_STATIC, fake_tool


@pytest.fixture
def fake_amd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A FAKE amd-smi on PATH that shows two MI300X in order; its answers are files."""
    folder = tmp_path / "fake-tools"
    partition = {"compute_partition": "SPX", "memory_partition": "NPS1", "partition_id": 0}
    write(folder / "static", json.dumps([{**AMD_STATIC, "gpu": n, "partition": partition} for n in (0, 1)]))
    write(folder / "metric", json.dumps([AMD_METRIC, AMD_METRIC]))
    write(folder / "firmware", json.dumps([{"gpu": n, "fw_list": AMD_FIRMWARE} for n in (0, 1)]))
    fake_tool(folder, "amd-smi", f'cat {folder}/"$1"')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder
