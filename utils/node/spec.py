"""What a launcher hands to the node: one JSON file a job."""

from __future__ import annotations

from typing import Any, Literal

from matrix.cluster import Cluster
from matrix.plan import Job
from matrix.schema import Value

Arm = Literal["base", "head"]


class Run(Value):
    """One fresh server of one arm."""

    index: int
    arm: Arm


class Provenance(Value):
    """Which code and which recipes: what a record cannot find out on a node."""

    commit: str
    """40-hex commit of the harness."""
    clean: bool
    """Whether the harness's tree had no uncommitted change."""
    tree_commit: str
    """40-hex commit of the tree that recipes and kernels came from."""
    tree_clean: bool
    harness: str
    """Version of servematrix."""


class NodeJob(Value):
    """A job on a node."""

    schema_version: Literal[1] = 1
    job: Job
    cluster: Cluster
    runs: list[Run]
    allocation: str
    """Names the allocation: runs are compared only within one."""
    out: str
    """Where results go."""
    tree: str
    """The tree's root, for a model that it carries."""
    vllm: list[str]
    """The command that `vllm` stands for."""
    python: str
    """The Python that has vLLM."""
    environment: Literal["locked", "given", "image"]
    """Where that vLLM came from; a given one is never reused."""
    provenance: Provenance
    observed: dict[str, Any] = {}
    """What the launcher found out: image digest, squash hash."""
