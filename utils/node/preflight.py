"""Whether the node is fit for a job, before time is spent on it. The standard library alone: it also runs outside containers."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

DISK_LEAST_BYTES = 200_000_000
"""Below this a run's logs and raw requests may not fit."""


@dataclass(frozen=True)  # no slots: nodes may have Python 3.9
class Check:
    """One question to the node and its answer."""

    name: str
    passed: bool
    cause: str
    """In one line: what was found, and what would fix it."""
    of_node: bool = True
    """Another node may have another answer."""


def disk(folder: Path, least: int = DISK_LEAST_BYTES) -> Check:
    """Room where results go."""
    free = shutil.disk_usage(folder).free
    return Check(
        "disk",
        free >= least,
        f"{free / 1e9:.2f} GB free under {folder}, {least / 1e9:.2f} GB are wanted; free some, or give another --out",
    )


def model(path: str) -> Check:
    """A model that is a folder has its config."""
    there = not path.startswith("/") or (Path(path) / "config.json").is_file()
    return Check(
        "model", there, f"no config.json in {path}; the recipe's `model` names a folder that this node lacks"
    )


def port(number: int) -> Check:
    """Nobody listens where the server will."""
    if number == 0:
        return Check("port", passed=True, cause="a free one is taken")
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", number)) == 0
    return Check(
        "port",
        not taken,
        f"port {number} is taken by another process; end it, or set `port: 0` in the cluster file",
    )


def program(command: str) -> Check:
    """The server's command can be executed."""
    return Check(
        "vllm",
        shutil.which(command) is not None,
        f"{command} cannot be executed; the environment or image lacks vLLM",
    )


def cores(wanted_for_client: int) -> Check:
    """There are cores for both sides."""
    have = len(os.sched_getaffinity(0))
    fits = wanted_for_client < have or wanted_for_client == 0
    return Check(
        "cores",
        fits,
        f"{have} cores, of which the client takes {wanted_for_client}; lower client_cores in the cluster file",
    )


def split_cores(wanted_for_client: int) -> tuple[list[int], list[int]]:
    """The server's cores and the client's, the last ones; the same for both if the client takes none of its own."""
    have = sorted(os.sched_getaffinity(0))
    if wanted_for_client == 0:
        return have, have
    return have[:-wanted_for_client], have[-wanted_for_client:]


def machine() -> dict[str, object]:
    """What the machine is, what the standard library says of it."""
    facts: dict[str, object] = {
        "hostname": platform.node(),
        "os_release": platform.release(),
        "cores": os.cpu_count() or 0,
    }
    facts["cpu_model"] = _first("/proc/cpuinfo", "model name") or platform.machine()
    facts["memory_bytes"] = int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) * 1024
    return facts


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
