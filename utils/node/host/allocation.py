"""What the scheduler's environment says of the allocation that a program runs in; nothing of it on a machine without one."""

from __future__ import annotations

import os

JOB = "SLURM_JOB_ID"
"""The variable of each of a job's processes with its number."""
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
