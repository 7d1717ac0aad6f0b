"""Commands around jobs on Slurm: `nodes`, `cancel`, `collect --job`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from utils import provenance, show
from utils.environments import ROOT
from utils.launch.slurm import batch, client, fetch, names
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.launcher import cancel as cancel_jobs
from utils.launch.slurm.launcher import with_slurm
from utils.launch.slurm.poll import Poll, accounted, state_folder
from utils.launch.slurm.quarantine import Quarantine

if TYPE_CHECKING:
    from argparse import Namespace

    from matrix.cluster import Cluster

NODE_COLUMNS = [
    ("node", "left"),
    ("Slurm", "left"),
    ("for another", "right"),
    ("cause", "left"),
    ("evidence", "left"),
]


def nodes(arguments: Namespace) -> Exit:
    """Show the quarantine, or take nodes out of it."""
    quarantine = Quarantine(state_folder())
    if arguments.clear:
        gone = quarantine.clear(None if "all" in arguments.clear else arguments.clear)
        unknown = sorted(set(arguments.clear) - set(gone) - {"all"})
        sys.stdout.writelines(f"cleared: {node}\n" for node in gone)
        if unknown:
            raise HarnessError(Exit.USAGE, f"not in quarantine: {', '.join(unknown)}")
        return Exit.OK
    entries = quarantine.entries()
    if not entries:
        sys.stdout.write("no node is in quarantine\n")
        return Exit.OK
    try:
        states = {node.name: node.state for node in client.nodes()}
    except SlurmError:
        states = {}
    rows = []
    for entry in entries:
        left = show.duration(entry.until_unix_s - time.time())
        rows.append(
            [entry.node, states.get(entry.node, "?"), left, entry.cause, (entry.evidence or ["-"])[0][:100]]
        )
    show.table(sys.stdout, "Nodes in quarantine", NODE_COLUMNS, rows)
    sys.stdout.write("use one again: ./servematrix nodes --clear NODE\n")
    return Exit.OK


def cancel(arguments: Namespace) -> Exit:
    """End jobs by the names that a run gave them."""
    commit = provenance.find(ROOT).tree_commit
    if arguments.folders:
        found = [names.identity(ROOT, commit, Path(folder)) for folder in arguments.folders]
        endings = [f"/{one.run}/" for one in found]
    else:
        endings = [""]
    whose = names.identity(ROOT, commit, ROOT)
    prefix = f"{names.PREFIX}/{whose.repository}/"
    ended = [job for ending in endings for job in cancel_jobs(prefix, ending)]
    sys.stdout.writelines(f"cancelled: {job}\n" for job in ended)
    if not ended:
        sys.stdout.write("no job is left\n")
    return Exit.OK


def fetch_job(job: int, folder: Path, node: str | None, cluster: str | None) -> None:
    """Bring what a job left on its node into a folder.

    Raises:
        HarnessError: where Slurm does not know the job, or its node cannot be reached.
    """
    poll = Poll(state_folder(), 0.0)
    poll.refresh()
    state = next((one for one in poll.jobs if one.id == job), None) or accounted(job)
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
        raise HarnessError(Exit.USAGE, f"job {job} is {state.name!r}, which servematrix did not start")
    *_, job_id, _ = state.name.split("/")
    chosen = _cluster(cluster)
    left = batch.left(chosen, names.folder(state.name))
    events, problem = fetch.spool(chosen, node or state.node, left, folder / "jobs" / job_id)
    if problem:
        raise HarnessError(Exit.SLURM_FAILED, problem)
    if not events and not (folder / "jobs" / job_id).exists():
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
