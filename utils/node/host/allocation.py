"""What the scheduler's environment says of the allocation that a program runs in; nothing of it on a machine without one."""

from __future__ import annotations

import os

JOB = "SLURM_JOB_ID"
"""The variable of each of a job's processes with its number."""
CORES, GPUS = "SLURM_CPUS_ON_NODE", "SLURM_JOB_GPUS"
"""Of the batch script: how many cores it has on this node, and the numbers of its GPUs there, such as `0,2-3`."""
NOT_FOR_SERVERS = ("SLURM", "ENROOT_", "PYXIS_", "PMI", "SERVEMATRIX_")
"""Beginnings of variables that come from the scheduler, a container's start and this harness, not from an image."""


def job() -> str:
    """Its number."""
    return os.environ.get(JOB, "")


def name() -> str:
    """Of the allocation: runs of one are compared, so a job that was requeued has another."""
    cluster, restarts = os.environ.get("SLURM_CLUSTER_NAME", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
    return f"slurm-{cluster}-{job() or 0}-{restarts}"


def node() -> str:
    """The scheduler's name of this node."""
    return os.environ.get("SLURMD_NODENAME", "")


def cores() -> int:
    """How many it has on this node; 0 where nothing says so."""
    said = os.environ.get(CORES, "")
    return int(said) if said.isascii() and said.isdigit() else 0


def gpus() -> tuple[str, ...]:
    """Their numbers on this node, whichever of them are visible; empty where nothing says so."""
    found: list[str] = []
    for part in os.environ.get(GPUS, "").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and last.isdigit():
            found += map(str, range(int(first), int(last) + 1))
        elif first:
            found.append(part.strip())
    return tuple(found)
