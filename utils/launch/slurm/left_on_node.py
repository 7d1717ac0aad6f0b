"""What a job left on its node, brought into a results folder after its launcher died."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from utils.launch import lease
from utils.launch.journal import Notebook
from utils.launch.slurm import names, retrieval_job, submission
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.launcher import with_slurm
from utils.launch.slurm.poll import accounted, squeue
from utils.launch.slurm.states import from_squeue
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.cluster import Cluster


def fetch_job(job: int, folder: Path, node: str | None, cluster: str | None) -> None:
    """Bring what a job left on its node into a folder.

    Raises:
        HarnessError: where Slurm does not know the job, or its node cannot be reached.
    """
    try:
        known = from_squeue(squeue())
    except SlurmError as error:
        raise HarnessError(Exit.SLURM_FAILED, str(error)) from error
    state = next((one for one in known if one.id == job), None) or accounted(job)
    if state is None or not (node or state.node):
        raise HarnessError(
            Exit.SLURM_FAILED,
            f"Slurm has forgotten job {job}, or never gave it a node; look into {folder}/launch for its number, "
            "and name the node with --node",
        )
    if not state.over:
        raise HarnessError(
            Exit.USAGE, f"job {job} is {state.state}; wait for its end, or end it: ./servematrix cancel"
        )
    if not state.name.startswith(f"{names.PREFIX}/"):
        raise HarnessError(
            Exit.USAGE,
            f"job {job} is {state.name!r}, which servematrix did not start; the numbers of its jobs are in {folder}/launch",
        )
    *_, job_id, attempt = state.name.split("/")
    if not lease.is_free(folder):
        raise HarnessError(
            Exit.OUT_IN_USE, f"a launcher is running on {folder}, and fetches by itself; wait for it"
        )
    chosen = _cluster(cluster)
    notes = Notebook(folder, job_id)
    known_token = (memory := notes.read()) and memory.name == state.name and memory.token
    left = replace(submission.left(chosen, names.folder(state.name)), token=known_token or "")
    to, newer = notes.place(int(attempt))
    events, problem = retrieval_job.spool(chosen, node or state.node, left, to)
    if newer and to.exists():
        notes.mark(to, f"of attempt {attempt}; attempt {newer} came after it")
        sys.stdout.write(f"job {job} was attempt {attempt}, after which there was another: {to}\n")
    if problem:
        raise HarnessError(Exit.SLURM_FAILED, problem)
    if not events and not to.exists():
        sys.stdout.write(f"job {job} left nothing on {node or state.node}\n")


def _cluster(name: str | None) -> Cluster:
    """The named cluster file, else the only one behind Slurm."""
    source = Folder(ROOT)
    known = {one: clusters.load(source, one) for one in clusters.names(source)}
    fitting = {one: cluster for one, cluster in known.items() if cluster.launcher == "slurm"}
    if name is None and len(fitting) == 1:
        return next(iter(fitting.values()))
    if name not in known:
        raise HarnessError(Exit.USAGE, f"--cluster wants one of {', '.join(known)}")
    return with_slurm(known[name])
