"""What a node's GPUs are and who uses them, as the kernel driver and the vendor's tool report."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from utils.node.host.tools import Said, ask, gpu_entries, text_of, tool

KFD = Path("/sys/class/kfd/kfd")
DRM = Path("/sys/class/drm")
STRAY_BYTES = 256_000_000
"""Device memory above which a foreign process disturbs a measurement; monitors stay below it."""
WHOLE = {"rocm": "SPX/NPS1", "cuda": "whole"}
"""How GPUs are whole: an MI300X as one device with one memory, an H100 without MIG. That is what tp counts."""
_BASE = "name,serial,driver_version,power.limit,clocks.max.sm"
_MORE = "vbios_version,mig.mode.current"
_NOTHING = re.compile(
    r"\[.*\]|N/A|ERR!|Not Supported|Unknown Error|Insufficient Permissions|GPU requires reset|0?",
    re.IGNORECASE,
)
"""What nvidia-smi writes where it has no value; in brackets by most drivers, whatever the reason."""
_NO_MIG = re.compile(r"\[?(N/A|Not Supported)\]?|", re.IGNORECASE)
"""Of a GPU that knows no MIG. Any other word in the place of a value leaves open whether it is whole."""

VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Variables that say which devices a program may use."""
Facts = dict[str, Any]


def count(kind: str, kfd: Path = KFD) -> int | None:
    """How many GPUs the driver shows; None where nothing counts them.

    ROCm: nodes of the KFD topology with compute units (CPUs are nodes too, with `simd_count 0`).
    """
    if kind == "rocm":
        files = sorted((kfd / "topology" / "nodes").glob("*/properties"))
        return sum(bool(re.search(r"^simd_count [1-9]", text_of(file), re.MULTILINE)) for file in files)
    if kind == "cuda":
        return len(re.findall(r"^GPU \d+:", tool("nvidia-smi", "-L"), re.MULTILINE))
    return None


def strays(kind: str, kfd: Path = KFD) -> list[str] | None:
    """Processes that hold device memory, as `PID name`; None where the tool that knows does not answer.

    ROCm: `proc/PID/vram_GPU` below KFD's sysfs folder, in bytes.
    """
    if kind == "rocm":
        found = []
        for folder in sorted((kfd / "proc").glob("[0-9]*")):
            held = sum(int(text_of(file).strip() or 0) for file in folder.glob("vram_*"))
            if held > STRAY_BYTES:
                found.append(f"{folder.name} {text_of(Path('/proc', folder.name, 'comm')).strip()}".strip())
        return found
    if kind == "cuda":
        query = ("nvidia-smi", "--query-compute-apps=pid,process_name", "--format=csv,noheader")
        said = ask(*query)
        return (
            None if said.failure else [one.replace(",", "") for one in said.text.splitlines() if one.strip()]
        )
    return []


def facts(kind: str) -> Facts:
    """Model, serials, driver, firmware, partitions, power cap (W) and highest clock (MHz), in the words of a record.

    What nothing reports is left out. `tool_notes` has what a tool warned of, and why one did not answer.
    """
    if kind == "rocm":
        asked = [ask("amd-smi", *words, "--json") for words in (("static",), ("metric", "--clock"))]
        firmware = ask("amd-smi", "firmware", "--json") if asked[0].text else Said("")
        warned = [line for one in [*asked, firmware] for line in gpu_entries(one.text)[1]]
        found = amd(asked[0].text, asked[1].text, firmware.text)
        if "partition" not in found and (modes := modes_of_driver()):
            found["partition"] = modes
        return found | _notes([*asked, firmware], warned)
    if kind == "cuda":
        base, more = (
            ask("nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits")
            for names in (_BASE, _MORE)
        )
        return nvidia(base.text, more.text) | _notes([base, more], [])
    return {}


def _notes(said: list[Said], warned: list[str]) -> Facts:
    notes = list(dict.fromkeys([*(one.failure for one in said if one.failure), *warned]))
    return {"tool_notes": notes} if notes else {}


def amd(static: str, metric: str, firmware: str = "") -> Facts:
    """Facts from amd-smi's JSON; a figure is {value, unit} or N/A."""
    gpus, clocks = gpu_entries(static)[0], gpu_entries(metric)[0]
    found: Facts = {}
    if gpus:
        first = gpus[0]
        found["gpu_model"] = _same(_text_of(gpu, "asic", "market_name") for gpu in gpus)
        found["driver"] = _text_of(first, "driver", "version") or _text_of(first, "driver", "driver_version")
        found["gpu_serials"] = [text for gpu in gpus if (text := _text_of(gpu, "asic", "asic_serial"))]
        modes = {_modes(gpu) for gpu in gpus}
        found["partition"] = modes.pop() if len(modes) == 1 else "mixed"
    found["firmware"] = _firmware(gpu_entries(firmware)[0])
    found = {name: value for name, value in found.items() if value}
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


def _firmware(gpus: list[dict[str, Any]]) -> dict[str, str]:
    """Of `amd-smi firmware --json`: a GPU has `fw_list`, a list of {fw_id, fw_version}."""
    rows = [
        row
        for gpu in gpus
        if isinstance(gpu.get("fw_list"), list)
        for row in gpu["fw_list"]
        if isinstance(row, dict)
    ]
    known = [(str(row["fw_id"]), str(row.get("fw_version", "N/A"))) for row in rows if row.get("fw_id")]
    return {name: _same(v for n, v in known if n == name) for name in sorted({name for name, _ in known})}


def _modes(gpu: dict[str, Any]) -> str:
    """A GPU's compute and memory partition, such as SPX/NPS1; the first is `accelerator_partition` in amd-smi from 2025 on."""
    compute = _text_of(gpu, "partition", "compute_partition") or _text_of(
        gpu, "partition", "accelerator_partition"
    )
    memory = _text_of(gpu, "partition", "memory_partition")
    return f"{compute}/{memory}" if compute and memory else ""


def modes_of_driver(drm: Path = DRM) -> str:
    """The same as the driver has it in sysfs, of all GPUs; empty where it says nothing."""
    found = set()
    for file in sorted(drm.glob("card*/device/current_compute_partition")):
        compute, memory = text_of(file).strip(), text_of(file.with_name("current_memory_partition")).strip()
        found.add(f"{compute}/{memory}" if compute and memory else "")
    return found.pop() if len(found) == 1 else "mixed" if found else ""


def nvidia(table: str, more: str = "") -> Facts:
    """Facts from nvidia-smi's CSV: `table` has the columns of _BASE, `more`, which old drivers lack, those of _MORE."""
    rows = _rows(table, 5)
    if not rows:
        return {}
    found: Facts = {
        "gpu_model": _same(row[0] for row in rows),
        "driver": rows[0][2],
        "gpu_serials": [row[1] for row in rows if not _NOTHING.fullmatch(row[1])],
    }
    for name, column in (("power_cap_w", 3), ("clock_mhz", 4)):
        values = [float(row[column]) for row in rows if re.fullmatch(r"\d+(\.\d+)?", row[column])]
        if len(values) == len(rows):  # of one unknown, unknown of all
            found[name] = int(min(values)) if name == "clock_mhz" else min(values)
    others = _rows(more, 2)
    if vbios := _same(row[0] for row in others if not _NOTHING.fullmatch(row[0])):
        found["firmware"] = {"vbios": vbios}
    known = [row[1] for row in others if _NO_MIG.fullmatch(row[1]) or not _NOTHING.fullmatch(row[1])]
    if others and len(known) == len(others):  # of one unknown, unknown of all
        words = {"Enabled": "MIG", "Disabled": "whole"}
        named = {words.get(mode, "whole" if _NO_MIG.fullmatch(mode) else mode) for mode in known}
        found["partition"] = named.pop() if len(named) == 1 else "mixed"
    return {name: value for name, value in found.items() if value}


def _rows(table: str, columns: int) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.count(",") == columns - 1]
    return [[cell.strip() for cell in line.split(",")] for line in lines]


def _same(values: Any) -> str:  # noqa: ANN401 - any iterable of texts
    """What all say; where they differ, each once."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def is_model(wanted: str, found: str) -> bool:
    """Whether `devices.model` (H100) is what a tool calls the GPU (NVIDIA H100 80GB HBM3), by whole words.

    Words may be joined (RTX4090 for RTX 4090); several GPUs' names are separated by commas, and each must fit.
    """
    return bool(found) and all(_is_one(wanted, one) for one in found.split(", "))


def _is_one(wanted: str, found: str) -> bool:
    asked, words = (re.findall(r"[a-z0-9]+", text.lower()) for text in (wanted, found))
    ends = range(len(words) + 1)
    joined = {"".join(words[start:end]) for start in ends for end in ends if start < end}
    return bool(asked) and ("".join(asked) in joined or all(word in words for word in asked))


def _at(gpu: dict[str, Any], *path: str) -> Any:  # noqa: ANN401 - whatever the tool's JSON holds there
    here: Any = gpu
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here.get("value") if isinstance(here, dict) else here


def _text_of(gpu: dict[str, Any], *path: str) -> str:
    value = _at(gpu, *path)
    return value if isinstance(value, str) and value != "N/A" else ""


def _least(gpus: list[dict[str, Any]], *paths: tuple[str, ...]) -> int | None:
    """The lowest figure over all GPUs, under the first name that the tool's version knows; None where one GPU has none."""
    for path in paths:
        found = [_at(gpu, *path) for gpu in gpus]
        values = [value for value in found if isinstance(value, (int, float)) and math.isfinite(value)]
        if values:
            return int(min(values)) if len(values) == len(gpus) else None
    return None
