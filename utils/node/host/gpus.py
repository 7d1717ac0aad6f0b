"""What a node's GPUs are and who uses them, as the kernel driver and the vendor's tool tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

KFD = Path("/sys/class/kfd/kfd")
STRAY_BYTES = 256_000_000
"""Device memory above which a foreign process disturbs a measurement; monitors stay below it."""
TOOL_LIMIT_S = 60

Facts = dict[str, Any]


def tool(*command: str) -> str:
    """What a vendor's tool prints; empty where it is missing, fails, or hangs."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def count(kind: str, kfd: Path = KFD) -> int | None:
    """How many GPUs the driver shows; None where nothing counts them.

    ROCm: nodes of the KFD topology with compute units (CPUs are nodes too, with `simd_count 0`).
    """
    if kind == "rocm":
        files = sorted((kfd / "topology" / "nodes").glob("*/properties"))
        return sum(bool(re.search(r"^simd_count [1-9]", _text(file), re.MULTILINE)) for file in files)
    if kind == "cuda":
        return len(re.findall(r"^GPU \d+:", tool("nvidia-smi", "-L"), re.MULTILINE))
    return None


def strays(kind: str, kfd: Path = KFD) -> list[str]:
    """Processes that hold device memory, as `PID name`.

    ROCm: `proc/PID/vram_GPU` below KFD's sysfs folder, in bytes.
    """
    if kind == "rocm":
        found = []
        for folder in sorted((kfd / "proc").glob("[0-9]*")):
            held = sum(int(_text(file).strip() or 0) for file in folder.glob("vram_*"))
            if held > STRAY_BYTES:
                found.append(f"{folder.name} {_text(Path('/proc', folder.name, 'comm')).strip()}".strip())
        return found
    if kind == "cuda":
        query = ("nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader")
        return [line.replace(",", "") for line in tool(*query).splitlines() if line.strip()]
    return []


def facts(kind: str) -> Facts:
    """Model, serials, driver, power cap (W) and highest clock (MHz), in the words of a record; what nothing tells is left out."""
    if kind == "rocm":
        return amd(tool("amd-smi", "static", "--json"), tool("amd-smi", "metric", "--clock", "--json"))
    if kind == "cuda":
        names = "name,serial,driver_version,power.limit,clocks.max.sm"
        return nvidia(tool("nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits"))
    return {}


def amd(static: str, metric: str) -> Facts:
    """Facts from amd-smi's JSON: a list of GPUs, in newer versions below `gpu_data`; a figure is {value, unit} or N/A."""
    gpus, clocks = _gpus(static), _gpus(metric)
    found: Facts = {}
    if gpus:
        first = gpus[0]
        found["gpu_model"] = _text_of(first, "asic", "market_name")
        found["driver"] = _text_of(first, "driver", "version") or _text_of(first, "driver", "driver_version")
        found["gpu_serials"] = [text for gpu in gpus if (text := _text_of(gpu, "asic", "asic_serial"))]
        found["partition"] = "/".join(
            _text_of(first, "partition", f"{of}_partition") for of in ("compute", "memory")
        )
        if len({json.dumps(gpu.get("partition"), sort_keys=True) for gpu in map(_without_id, gpus)}) > 1:
            found["partition"] = "mixed"
    found = {name: value for name, value in found.items() if value and value != "/"}
    if gpus:  # a figure that is asked for and not there must be seen
        found["power_cap_w"] = _least(
            gpus,
            ("limit", "socket_power"),
            ("limit", "ppt0", "socket_power_limit"),
            ("limit", "power_cap"),
            ("limit", "max_power"),
        )
    clock = _least(clocks, ("clock", "gfx_0", "max_clk"))
    return found | ({"clock_mhz": clock} if clock else {})


def _without_id(gpu: dict[str, Any]) -> dict[str, Any]:
    """A GPU's entry without its place in a partition, in which its neighbours differ."""
    partition = gpu.get("partition")
    if not isinstance(partition, dict):
        return gpu
    return gpu | {"partition": {name: value for name, value in partition.items() if name != "partition_id"}}


def nvidia(table: str) -> Facts:
    """Facts from nvidia-smi's CSV."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines() if line.count(",") == 4]  # noqa: PLR2004 - five columns
    if not rows:
        return {}
    found: Facts = {"gpu_model": rows[0][0], "driver": rows[0][2], "gpu_serials": [row[1] for row in rows]}
    for name, column in (("power_cap_w", 3), ("clock_mhz", 4)):
        values = [float(row[column]) for row in rows if re.fullmatch(r"[\d.]+", row[column])]
        if values:
            found[name] = int(min(values)) if name == "clock_mhz" else min(values)
    return found


def _gpus(text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text or "[]")
    except ValueError:
        return []
    if isinstance(content, dict):
        content = content.get("gpu_data", [])
    return [gpu for gpu in content if isinstance(gpu, dict)] if isinstance(content, list) else []


def _at(gpu: dict[str, Any], *path: str) -> Any:  # noqa: ANN401 - whatever the tool's JSON holds there
    here: Any = gpu
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here.get("value") if isinstance(here, dict) else here


def _text_of(gpu: dict[str, Any], *path: str) -> str:
    value = _at(gpu, *path)
    return value if isinstance(value, str) and value != "N/A" else ""


def _least(gpus: list[dict[str, Any]], *paths: tuple[str, ...]) -> int | None:
    """The lowest figure over all GPUs, under the first name that the tool's version knows."""
    for path in paths:
        values = [value for gpu in gpus if isinstance(value := _at(gpu, *path), (int, float))]
        if values:
            return int(min(values))
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
