"""Whether a node's GPUs are those of the cluster file: asked by a cluster job's preflight, the local launcher and `doctor` alike."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from utils.node.host import gpus
from utils.node.preflight import Check, check

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL = {"rocm": "amd-smi", "cuda": "nvidia-smi"}
_SET_WHOLE = {
    "rocm": "amd-smi set --compute-partition SPX --memory-partition NPS1",
    "cuda": "nvidia-smi --multi-instance-gpu=0",
}
_HAS_PARTITIONS = re.compile(r"mi3\d\d", re.IGNORECASE)
"""GPUs that are always in some partition mode, so that silence about it is no answer."""

Wanted = dict[str, Any]
"""Of HOST.json: kind, gpus, gpu_model, power_cap_w, clock_mhz."""


def checks(wanted: Wanted, *, given: bool = True) -> Iterator[Check]:
    """Every question about GPUs; nothing more once there are none.

    Args:
        wanted: what the cluster file says.
        given: whether a scheduler gave GPUs by an environment variable.
    """
    kind = wanted["kind"]
    there = gpus.count(kind)
    if there is not None:
        yield _count(kind, there, wanted["gpus"])
        if there == 0:
            return
        yield _strays(gpus.strays(kind))
    if there is not None and given:
        yield from _given(wanted["gpus"])
    found = gpus.facts(kind)
    if kind in TOOL:
        yield from _identity(kind, wanted["gpu_model"], found)
    yield from _partition(kind, wanted["gpu_model"], found)
    for name, unit in (("power_cap_w", "W"), ("clock_mhz", "MHz")):
        yield from _figure(name, unit, wanted[name], found)


def _count(kind: str, there: int, wanted: int) -> Check:
    if there == wanted:
        return Check("gpus", passed=True, found=f"{there} GPUs")
    advice = "they are partitioned, or the cluster file is wrong"
    if there < wanted:
        advice = "one is lost, or its driver"
    if there == 0:
        advice = (
            f"this node has no {kind} GPU, or its driver is not loaded ({TOOL[kind]} shows what is there)"
        )
    return Check(
        "gpus", passed=False, found=f"{there} GPUs where {wanted} are wanted (devices.count)", advice=advice
    )


def _strays(found: list[str] | None) -> Check:
    if found is None:
        advice = "end by hand what else uses the GPUs"
        return Check("strays", passed=True, found="who holds GPU memory cannot be seen", advice=advice)
    held = f"GPU memory is held by {'; '.join(found)}" if found else "no other process holds GPU memory"
    return check("strays", not found, held, "end these processes")


def _given(wanted: int) -> Iterator[Check]:
    visible = os.environ.get("ROCR_VISIBLE_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        given = len(visible.split(","))
        short = f"Slurm gave {given} GPUs where {wanted} are wanted"
        yield check("given", given >= wanted, f"{given} GPUs" if given >= wanted else short, "see slurm.gres")


def _identity(kind: str, model: str, found: gpus.Facts) -> Iterator[Check]:
    """What the vendor's tool says they are. Without the tool nothing is known of them, and a record would say nothing."""
    for text in found.get("tool_notes", []):
        if "gpu_model" in found:
            yield Check(
                "gpu tool",
                passed=True,
                found=text,
                advice=f"{TOOL[kind]} warned of this, or could not say it",
            )
    name = found.get("gpu_model", "")
    if not name:
        why = "; ".join(found.get("tool_notes", [])) or f"{TOOL[kind]} names no model"
        advice = f"without it model, power cap and partition modes are unknown: have {TOOL[kind]} on the node's PATH"
        yield Check("gpu tool", passed=False, found=why, advice=advice)
        return
    fits = gpus.is_model(model, name)
    said = name if fits else f"the GPUs are {name}, and the cluster file says {model} (devices.model)"
    yield check("gpu model", fits, said, "another machine, or another cluster file, is meant")
    for what in ("driver", "firmware"):
        value = found.get(what)
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        advice = "" if text else "records of this node lack it, so that a change of it will not be seen"
        yield Check(what, passed=True, found=str(text or f"{TOOL[kind]} does not report it"), advice=advice)


def _partition(kind: str, model: str, found: gpus.Facts) -> Iterator[Check]:
    whole, modes = gpus.WHOLE.get(kind, gpus.WHOLE["rocm"]), found.get("partition", "")
    if modes:
        said = modes if modes == whole else f"GPUs are partitioned as {modes}, wanted {whole}"
        set_whole = _SET_WHOLE.get(kind, _SET_WHOLE["rocm"])
        yield check("partition", modes == whole, said, set_whole)
    elif kind in TOOL and found.get("gpu_model"):
        silent = f"{TOOL[kind]} does not say how the GPUs are partitioned"
        must = bool(_HAS_PARTITIONS.search(model))
        advice = f"{whole} is wanted, and cannot be seen: a newer {TOOL[kind]}, or its error, may say more"
        yield Check("partition", passed=not must, found=silent, advice=advice)


def _figure(name: str, unit: str, wanted: int | None, found: gpus.Facts) -> Iterator[Check]:
    value = found.get(name)
    said = f"{value} {unit}" if value else "not reported by the vendor's tool"
    if not wanted:
        if value:
            yield Check(name, passed=True, found=said)
        elif name in found or found.get("gpu_model"):
            advice = "records of this node lack it, so that a change of it will not be seen"
            yield Check(name, passed=True, found=said, advice=advice)
    elif value == wanted:
        yield Check(name, passed=True, found=said)
    else:
        cause = f"{name} is {said}, {wanted} {unit} are wanted (devices.{name})"
        yield Check(name, passed=False, found=cause)
