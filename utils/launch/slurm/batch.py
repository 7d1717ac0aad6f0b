"""The batch script of one attempt at a job. Pure: values in, text out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.launch import script
from utils.launch.questions import on_node
from utils.launch.slurm import container
from utils.launch.slurm.container import PAYLOAD
from utils.launch.slurm.job_files import agreed
from utils.launch.slurm.submission import (
    BOX,
    CACHES,
    METER,
    OWN,
    SAMPLES,
    SERVER,
    images,
    mounts,
    run_name,
    server_mounts,
)
from utils.node.spec import (
    SERVER_ENDED,
    SERVER_READY,
    SERVER_SOCKET,
    canary_name,
)

if TYPE_CHECKING:
    from utils.launch.slurm.payload import Payload
    from utils.launch.slurm.submission import Attempt

REST_BYTES = 20_000
"""Room for the script around its payload."""
HOLD_S = 45
GONE_S = 20
"""For a task that outlives its srun; less than Slurm's KillWait (30 s), after which the script itself is killed."""
SERVER_GONE_S = 60
"""For a server's container whose run has ended."""
SERVER_WORK = "server"
"""Folder of a job where a runtime may use `image` for the container of a server."""
SBCAST_S = 300
AGREED_BYTES = 50_000_000
"""Of a file that the first run leaves for those after it: answers at some thousands of requests at once."""


def options(attempt: Attempt) -> list[str]:
    """Of sbatch: one node, never started again by Slurm itself, never two of one name at once."""
    slurm = attempt.cluster.slurm
    if slurm is None:
        raise AssertionError
    found = {
        "job-name": attempt.name,
        "partition": slurm.partition,
        "nodes": "1",
        "ntasks": "1",
        "gres": slurm.gres,
    }
    found["cpus-per-task"] = str(slurm.cpus_per_task or "")
    found |= {
        "time": str(-(-attempt.job.walltime_s // 60)),
        "dependency": "singleton",
        "exclude": ",".join(attempt.exclude),
    }
    found |= {"chdir": "/", "export": "ALL", "output": attempt.log, "open-mode": "append"}
    both = [attempt.exclude, slurm.options.get("exclude", "").split(",")]
    found |= slurm.options | {"exclude": ",".join(dict.fromkeys(one for some in both for one in some if one))}
    lines = [
        f"--{name}={_quoted(value)}" if value else f"--{name}"
        for name, value in found.items()
        if value or name in slurm.options
    ]
    return [*lines, "--no-requeue"]


def _quoted(value: str) -> str:
    """As sbatch reads a line of a script: a space or a # outside of quotes ends a value, and a backslash takes the next letter as it is."""
    if not re.search(r"""[\s#"'\\]""", value):
        return value
    inner = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{inner}"'


def by_sbcast(attempt: Attempt, packed: Payload) -> bool:
    """Whether the payload is too large for the script."""
    slurm = attempt.cluster.slurm
    return slurm is not None and len(packed.text()) > slurm.script_bytes - REST_BYTES


def _environment(attempt: Attempt, folder: str) -> dict[str, str]:
    """Of a container's programs, over what its image sets."""
    where = attempt.inside(folder)
    env = {"HOME": where, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return env if attempt.contained else env | {"PATH": container.PATH}


def render(attempt: Attempt, packed: Payload) -> str:
    """The script."""
    cluster = attempt.cluster
    slurm = cluster.slurm
    if slurm is None:
        raise AssertionError
    runtime = container.for_cluster(cluster)
    names = {canary_name(arm): arm for arm in attempt.arms} | {run_name(run): run.arm for run in attempt.runs}
    starts = {name: attempt.job.of(arm).points[0].image for name, arm in names.items()}
    load = attempt.load_image
    enter = {
        name: runtime.enter(
            load or image,
            mounts(attempt, name),
            attempt.work,
            _environment(attempt, OWN if load else "scratch"),
        )
        for name, image in starts.items()
    }
    serve = {
        name: runtime.enter(
            image,
            server_mounts(attempt, name),
            f"{attempt.work}/{SERVER_WORK}",
            _environment(attempt, "scratch"),
        )
        for name, image in starts.items()
        if load
    }
    outside_env = {"TMPDIR": f"{attempt.work}/outside"}
    if cluster.container.runtime == "pyxis":
        outside_env["ENROOT_TEMP_PATH"] = f"{attempt.work}/outside"
        outside_env["ENROOT_CACHE_PATH"] = f"{on_node(cluster.paths.squash)}/layers"
    if cluster.paths.runtime:
        outside_env["XDG_RUNTIME_DIR"] = on_node(cluster.paths.runtime)
    values = {
        "attempt": attempt.number,
        "job": attempt.job,
        "options": options(attempt),
        "token": attempt.token,
        "runs": [(run_name(run), run.arm) for run in attempt.runs],
        "agreed": agreed(attempt),
        "agreed_bytes": AGREED_BYTES,
        "canaries": [(canary_name(arm), arm) for arm in attempt.arms],
        "box": BOX,
        "meter": METER,
        "samples": SAMPLES,
        "kind": cluster.devices.kind,
        "caches": CACHES,
        "images": images(attempt),
        "work": attempt.work,
        "out": attempt.out,
        "broken": f"{attempt.order.out}/broken/{attempt.job.id}.{attempt.number}",
        "shared": attempt.shared,
        "runtime_dir": bool(cluster.paths.runtime),
        "outside_env": outside_env,
        "enter": enter,
        "serve": serve,
        "server": SERVER,
        "server_work": SERVER_WORK,
        "ready": SERVER_READY,
        "server_ended": SERVER_ENDED,
        "server_gone_s": SERVER_GONE_S,
        "python": slurm.python,
        "host": f"{attempt.work}/{PAYLOAD}/host.json",
        "contained": attempt.contained,
        "inside": {
            "results": attempt.run_folder("") if attempt.contained else "",
            "payload": attempt.inside(PAYLOAD),
            "own": attempt.inside(OWN),
            "scratch": attempt.inside("scratch"),
            "socket": f"{attempt.inside('scratch')}/{SERVER_SOCKET}",
            "python": attempt.python,
        },
        "codes": {
            "storage": int(Exit.STORAGE_FULL),
            "infra": int(Exit.INFRA_FAILED),
            "preflight": int(Exit.PREFLIGHT_FAILED),
            "gate": int(Exit.GATE_FAILED),
            "died": int(Exit.SERVER_DIED),
            "cancelled": int(Exit.CANCELLED),
        },
        "hold_s": HOLD_S,
        "gone_s": GONE_S,
        "sbcast": attempt.sbcast,
        "sbcast_s": SBCAST_S,
        "payload_sha256": packed.sha256,
        "payload_text": "" if by_sbcast(attempt, packed) else packed.text(),
    }
    return script.environment().get_template("batch.sh.j2").render(values)
