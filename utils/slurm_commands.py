"""Commands around jobs on Slurm: `nodes`, `cancel`, `collect --job`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from utils import show
from utils.launch.slurm import batch, claim, client, fetch, names
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.launcher import cancel as cancel_jobs
from utils.launch.slurm.launcher import with_slurm
from utils.launch.slurm.memory import Notebook
from utils.launch.slurm.poll import accounted, squeue, state_folder
from utils.launch.slurm.quarantine import Quarantine
from utils.launch.slurm.states import from_squeue
from utils.setup import provenance
from utils.setup.environments import ROOT

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
    if arguments.folders:
        wanted = {name for folder in arguments.folders for name in _submitted(Path(folder))}
        ended = cancel_jobs(lambda job: job.name in wanted)
    else:
        whose = names.identity(ROOT, provenance.find(ROOT).tree_commit, ROOT)
        ended = cancel_jobs(lambda job: job.name.startswith(f"{names.PREFIX}/{whose.repository}/"))
    sys.stdout.writelines(f"cancelled: {job}\n" for job in ended)
    if not ended:
        sys.stdout.write("no job is left\n")
    return Exit.OK


def _submitted(folder: Path) -> list[str]:
    """Names under which a run's launchers handed jobs to Slurm."""
    if not (folder / "launch").is_dir():
        raise HarnessError(
            Exit.USAGE, f"{folder}: no launcher wrote there; name the folder of a run on Slurm"
        )
    files = [path for path in (folder / "launch").glob("*.json") if path.name != "plan.json"]
    return [str(json.loads(path.read_bytes()).get("name", "")) for path in files]


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
        raise HarnessError(Exit.USAGE, f"job {job} is {state.name!r}, which servematrix did not start")
    *_, job_id, attempt = state.name.split("/")
    if not claim.is_free(folder):
        raise HarnessError(Exit.OUT_IN_USE, f"a launcher is at work on {folder}, and fetches by itself")
    chosen = _cluster(cluster)
    notes = Notebook(folder, job_id)
    known_token = (memory := notes.read()) and memory.name == state.name and memory.token
    left = replace(batch.left(chosen, names.folder(state.name)), token=known_token or "")
    to, newer = notes.place(int(attempt))
    events, problem = fetch.spool(chosen, node or state.node, left, to)
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
