"""A job's commands as a script that a person runs in an allocation of their own."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from matrix import tree as trees
from matrix.slurm.section import Slurm
from utils.launch.script import render
from utils.launch.slurm import container
from utils.node.host.image import OUTPUT
from utils.node.vllm import plugin

if TYPE_CHECKING:
    from matrix.plan import Job
    from utils.launch.interface import Order

WORKSPACE = "/tmp/servematrix-by-hand"  # noqa: S108 - shown to a person, never used by this code
"""A folder of the node that a person makes for a job run by hand."""


def script(order: Order, job: Job, *, program: str, python: str, arm: str = "") -> str:
    """A job's commands for a person, with the allocation and the container in front."""
    cluster = order.clusters[job.cluster]
    slurm = cluster.slurm or Slurm()
    asked = {
        "partition": slurm.partition,
        "gres": slurm.gres,
        "nodes": "1",
        "cpus-per-task": slurm.cpus_per_task,
    }
    allocate = ["salloc", *(f"--{name}={value}" for name, value in asked.items() if value)]
    lines = [shlex.join([*allocate, f"--time={-(-job.walltime_s // 60)}"])]
    if cluster.paths.runtime:
        lines.append(f'export XDG_RUNTIME_DIR="{cluster.paths.runtime}"; mkdir -p -m 0700 "$XDG_RUNTIME_DIR"')
    image = job.points[0].image
    runtime = container.for_cluster(cluster)
    mounts = [container.Mount(WORKSPACE, cluster.container.workdir), *container.cluster_mounts(cluster)]
    lines.append(f"mkdir -p {WORKSPACE}/{container.PAYLOAD}")
    in_container = cluster.container.runtime != "none"
    carried = [trees.package(one.name) for one in plugin.packages(job)]
    carried += [one for one in (job.points[0].model,) if trees.is_carried(one)]
    if carried and in_container:  # nodes may not see the checkout
        unpack = shlex.join(["srun", "--ntasks=1", "--overlap", "tar", "-C", WORKSPACE, "-x"])
        lines.append(f"tar -C CHECKOUT -c {shlex.join(carried)} | {unpack}")
    if in_container:
        entry = runtime.entry(image)
        words = [entry["path"] if word == OUTPUT else word for word in entry["import"]]
        lines.append(
            f"[ -e {shlex.quote(entry['path'])} ] || {shlex.join(words or ['cp', entry['archive'], entry['path']])}"
        )
    lines.append(shlex.join([*runtime.enter(image, mounts, WORKSPACE, {}), "--pty", "bash"]))
    tree = cluster.container.workdir if in_container else ""
    return render(order, job, program=program, python=python, arm=arm, enter="\n".join(lines), tree=tree)
