"""FAKE vendors' tools: the answers are ours, in the shape that the real ones print."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import write

# amd-smi static/metric --json in the shape that its CLI documents (a figure is {value, unit} or "N/A"); serials invented
AMD_STATIC = {
    "gpu": 0,
    "asic": {"market_name": "AMD Instinct MI300X", "asic_serial": "0x6F1F"},
    "limit": {"max_power": {"value": 750, "unit": "W"}, "socket_power": {"value": 700, "unit": "W"}},
    "driver": {"name": "amdgpu", "version": "6.10.5"},
}
AMD_METRIC = {
    "gpu": 0,
    "clock": {"gfx_0": {"clk": {"value": 132, "unit": "MHz"}, "max_clk": {"value": 2100, "unit": "MHz"}}},
}
AMD_FIRMWARE = [{"fw_id": "CP_MEC1", "fw_version": "177"}, {"fw_id": "SMC", "fw_version": "04.85.112.00"}]


H100 = "NVIDIA H100 80GB HBM3"


NVIDIA = """\
case "$*" in
  -L) echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-ec62d5c1)"; echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-c57ef0df)";;
  *--query-compute-apps*) ;;
  *name,serial*) for n in 0 1; do echo "NVIDIA H100 80GB HBM3, 165$n, 570.148.08, 700.00, 1980"; done;;
  *vbios*) for n in 0 1; do echo "96.00.89.00.01, MODE"; done;;
  *) echo 'Field is not a valid field to query.'; exit 2;;
esac
"""
"""A FAKE nvidia-smi with the words of a real one on two H100s (their names are from a run's card.log)."""


def fake_tool(folder: Path, name: str, script: str) -> None:
    """A FAKE vendor's tool: the answers are ours, in the shape that the real one prints."""
    write(folder / name, f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
