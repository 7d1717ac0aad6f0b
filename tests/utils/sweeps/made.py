"""Plans as a pull request's jobs leave them, for the tests here."""

from __future__ import annotations

from matrix import select
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT

RUN = 77


OTHER = "f" * 40


def plan() -> bytes:
    return select.chosen(Tree.of(Folder(ROOT)), ["qwen3moe-tiny-cpu-vllm"]).to_json().encode()


def swept(cluster: str) -> bytes:
    """The plan of a sweep there."""
    found = select.chosen(Tree.of(Folder(ROOT)), ["qwen3moe-tiny-cpu-vllm"])
    jobs = [job.model_copy(update={"cluster": cluster, "walltime_s": 19080}) for job in found.jobs]
    return found.model_copy(update={"jobs": jobs}).to_json().encode()
