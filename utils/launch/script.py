"""A job's commands as a shell script that a person can read and run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import jinja2

from matrix.cluster import Slurm
from matrix.protocol import requests
from utils.launch.slurm import container
from utils.node.host.image import OUTPUT
from utils.node.vllm import invocation, load

if TYPE_CHECKING:
    from matrix.plan import Job, Point
    from utils.launch.interface import Order

_PORT = 8000
WORKSPACE = "/tmp/servematrix-by-hand"  # noqa: S108 - shown to a person, never used by this code
"""A folder of the node that a person makes for a job run by hand."""


def environment() -> jinja2.Environment:
    """Templates with strict names and a filter for each way of quoting."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("utils.launch"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - shell, not HTML: every value goes through `quote` or `command`
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["quote"] = shlex.quote
    made.filters["command"] = _wrapped
    return made


def render(order: Order, job: Job, *, vllm: str, enter: str = "") -> str:
    """The script of a job: server, and for each point warm-up and load, exactly as the node runs them."""
    cluster = order.clusters[job.cluster]
    port = cluster.port or _PORT
    first = job.points[0]
    model = invocation.model_path(first.model, order.tree)
    return (
        environment()
        .get_template("by-hand.sh.j2")
        .render(
            job=job,
            env=job.serve.env,
            env_from=cluster.env_from,
            client_cores=cluster.client_cores,
            enter=enter,
            serve=[vllm, *invocation.serve(job.serve, model, port)],
            health=f"http://127.0.0.1:{port}/health",
            points=[_commands(point, model, port, vllm) for point in job.points],
        )
    )


def for_slurm(order: Order, job: Job, vllm: str = "vllm") -> str:
    """The same for a cluster behind Slurm, with the allocation and the container line."""
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
    if cluster.container.runtime != "none":
        entry = runtime.entry(image)
        words = [entry["path"] if word == OUTPUT else word for word in entry["import"]]
        lines.append(
            f"[ -e {shlex.quote(entry['path'])} ] || {shlex.join(words or ['cp', entry['archive'], entry['path']])}"
        )
    lines.append(shlex.join([*runtime.enter(image, mounts, WORKSPACE, {}), "--pty", "bash"]))
    return render(order, job, vllm=vllm, enter="\n".join(lines))


def _commands(point: Point, model: str, port: int, vllm: str) -> dict[str, Any]:
    folder = f"results/{point.id.split('/')[1]}"
    least = requests(point.protocol, point.concurrency, 0.0)
    return {
        "id": point.id,
        "folder": folder,
        "min_duration_s": point.protocol.min_duration_s,
        "warmup": [vllm, *load.argv(invocation.warmup(point, model, port, folder))],
        "load": [vllm, *load.argv(invocation.measured(point, model, port, folder, rate_per_s=0.0))],
        "least": least,
    }


def _wrapped(argv: list[str], indent: int = 2) -> str:
    """A command with its options on lines of their own, quoted."""
    lines: list[str] = []
    for word in argv:
        if word.startswith("--") or not lines:
            lines.append(shlex.quote(word))
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return f" \\\n{' ' * indent}".join(lines)
