"""Questions to a node, its answers, and a folder in the place of its GPU driver, for the tests here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import write
from utils.node.host import ready


def host(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Questions to a node that is in order."""
    made: dict[str, Any] = {
        "runtime": "none",
        "folders": {"spool": str(tmp_path / "spool")},
        "shared": "",
        "models": "",
        "archives": "",
        "hub": [],
        "offline": False,
        "registries": [],
        "devices": [],
        "kind": "cpu",
        "gpus": 8,
        "gpu_model": "MI300X",
        "power_cap_w": None,
        "clock_mhz": None,
        "port": 0,
        "images": [],
    }
    return made | changes


def failed(questions: dict[str, Any]) -> list[str]:
    return [check.cause for check in ready.checks(questions) if not check.passed]


def kfd(root: Path, count: int) -> Path:
    """A KFD topology as the kernel lays it out: two CPUs, then GPUs."""
    for number in range(2 + count):
        units = 0 if number < 2 else 1216
        write(
            root / f"topology/nodes/{number}/properties",
            f"cpu_cores_count 96\nsimd_count {units}\nmem_banks_count 1\n",
        )
    return root
