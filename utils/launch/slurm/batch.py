"""The batch script of one attempt at a job. Pure: values in, text out."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.plan import ARMS
from utils.launch import questions, script
from utils.launch.questions import TMP, on_node
from utils.launch.slurm import container, payload
from utils.launch.slurm.container import PAYLOAD, Mount
from utils.launch.slurm.receive import Left
from utils.node import evaluation, parity_answers
from utils.node.spec import (
    REQUESTS,
    SERVER_ENDED,
    SERVER_READY,
    SERVER_SOCKET,
    NodeJob,
    Run,
    canary_name,
    runs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.cluster import Cluster
    from matrix.plan import Arm, Job, Point
    from utils.launch.interface import Order
    from utils.launch.slurm.payload import Payload
    from utils.node.spec import Provenance

BOX = "box"
"""Each run's own folders: its scratch, and its copy of the payload, for root in a container can undo a read-only mount."""
METER = "meter"
"""Power samples, which the host writes and a run reads."""
SAMPLES = "power.csv"
OWN = "own"
"""Where a run and its load client keep their own files, which no server sees."""
SERVER = "server."
"""Before a run's name: the folders of its server's container, which nothing takes for a run's."""
CACHES = "caches"
"""A start's own copy of its arm's compile caches."""
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job."""

    job: Job
    cluster: Cluster
    order: Order
    name: str
    """Slurm's name of it."""
    folder: str
    """Below the spool."""
    number: int
    program: str
    """The command that serves where the job runs."""
    token: str = ""
    """What the batch script says carries it; a container, which never sees it, cannot speak in the script's name."""
    exclude: tuple[str, ...] = ()
    """Nodes in quarantine."""
    base_program: str = ""
    """The same for the base arm, if that is another one."""
    python: str = "python3"
    """The Python that has it, there."""

    @property
    def runs(self) -> list[Run]:
        """One container start each."""
        return runs(self.job)

    @property
    def arms(self) -> list[Arm]:
        """That it has, each with a canary."""
        return [arm for arm in ARMS if arm in self.job.arms]

    @property
    def shared(self) -> bool:
        """Whether nodes see the results folder."""
        return self.cluster.storage == "shared"

    @property
    def work(self) -> str:
        """The job's folder on the node."""
        return f"{on_node(self.cluster.paths.spool)}/{self.folder}"

    @property
    def results(self) -> Path:
        """The job's results on this side."""
        return self.order.out / "jobs" / self.job.id

    @property
    def out(self) -> str:
        """The job's results on the node."""
        return str(self.results) if self.shared else f"{self.work}/results"

    @property
    def log(self) -> str:
        """What Slurm itself says about the job."""
        return f"{self.results}.slurm.log" if self.shared else log_on_node(self.folder)

    @property
    def left(self) -> Left:
        """What the job has on its node."""
        return replace(left(self.cluster, self.folder, shared=self.shared), token=self.token)

    @property
    def sbcast(self) -> str:
        """Where a payload goes that is too large for the script."""
        return f"{TMP}/servematrix-{self.folder}.tar.gz"

    @property
    def contained(self) -> bool:
        """Whether runs are in containers, which see what is mounted and nothing else."""
        return self.cluster.container.runtime != "none"

    @property
    def load_image(self) -> str:
        """Image of the container of recorder and load client; empty where they run in the server's own container.

        It is the base's, which the change did not choose, and of a recipe that has no base its own.
        """
        job = self.job
        points = [point for arm in job.arms for point in job.of(arm).points]
        # A tokenizer with code of its own is the arm's code; a trace is written beside the server, and is no measurement.
        if not self.contained or self.order.profile or any(runs_own_code(point) for point in points):
            return ""
        return job.of("base").points[0].image

    def inside(self, part: str) -> str:
        """A part of the job's folder (`payload`, `scratch`, `own`, `agreed`, `meter`) as programs of a run see it."""
        if self.contained:
            return posixpath.join(self.cluster.container.workdir, part)
        outside = {
            "payload": f"{self.work}/{PAYLOAD}",
            "scratch": f"{self.work}/scratch",
            OWN: f"{self.work}/scratch",
            "agreed": self.out,
            METER: f"{self.work}/{METER}",
        }
        return outside[part]

    def caches(self, name: str) -> str:
        """Where a start finds, or leaves, its arm's compile caches, as its own programs see it."""
        if self.contained:
            return posixpath.join(self.cluster.container.workdir, CACHES)
        return f"{self.work}/{BOX}/{name}/{CACHES}"

    def run_folder(self, name: str) -> str:
        """Where a run leaves what it finds, as its own programs see it."""
        return (
            posixpath.join(self.cluster.container.workdir, "results")
            if self.contained
            else f"{self.out}/{name}"
        )


def runs_own_code(point: Point) -> bool:
    """Whether loading its tokenizer runs code that comes with the model."""
    return point.parts.get("flags", {}).get("trust-remote-code") is True


def log_on_node(folder: str) -> str:
    """Slurm writes it before the job's own folder can be there."""
    return f"{TMP}/servematrix-{folder}.log"


def left(cluster: Cluster, folder: str, *, shared: bool = False) -> Left:
    """What a job has on its node, from the cluster file and the folder's name."""
    python = cluster.slurm.python if cluster.slurm else "python3"
    return Left(f"{on_node(cluster.paths.spool)}/{folder}", "" if shared else log_on_node(folder), python)


def whole_job(attempt: Attempt, provenance: Provenance) -> NodeJob:
    """What all container starts have in common: every run of both arms."""
    job = attempt.job
    environment = "image" if attempt.contained else "locked"
    if attempt.order.environment:
        environment = "given"
    return NodeJob.model_validate(
        {
            "job": job,
            "cluster": attempt.cluster,
            "runs": attempt.runs,
            "allocation": attempt.name,
            "out": attempt.inside("agreed"),
            "serve_in": attempt.inside("scratch") if attempt.load_image else "",
            "tree": f"{attempt.inside(PAYLOAD)}/{payload.TREE}",
            "base_tree": f"{attempt.inside(PAYLOAD)}/{payload.BASE_TREE}",
            "base_commit": attempt.order.plan.pair.commit if attempt.order.plan.pair else "",
            "program": [attempt.program],
            "base_program": [attempt.base_program or attempt.program],
            "python": attempt.python,
            "environment": environment,
            "provenance": provenance,
            "runs_in_all": len(attempt.runs),
            "samples": f"{attempt.inside(METER)}/{SAMPLES}",
        }
    )


def node_jobs(attempt: Attempt, provenance: Provenance) -> dict[str, NodeJob]:
    """The file of each container start by name: first the canaries, then the runs."""
    common = whole_job(attempt, provenance)
    found = {
        canary_name(arm): common.as_canary(f"{attempt.inside(OWN)}/{canary_name(arm)}", arm).model_copy(
            update={"caches": attempt.caches(canary_name(arm))}
        )
        for arm in attempt.arms
    }
    for run in attempt.runs:
        name = run_name(run)
        update = {"runs": [run], "run_folder": attempt.run_folder(name), "caches": attempt.caches(name)}
        found[name] = common.of(run.arm).as_profile(attempt.order.profile).model_copy(update=update)
    return found


def run_name(run: Run) -> str:
    """Name of a run's folder and files."""
    return f"run-{run.index}-{run.arm}"


def agreed(attempt: Attempt) -> list[str]:
    """Names of what the first run leaves for those after it: numbers of requests first, then what answers are compared with."""
    points = attempt.job.points
    answers = [parity_answers.of_base(point.id) for point in points] if attempt.job.base is not None else []
    asked = [evaluation.of_base(point.accuracy.task) for point in points if point.accuracy]
    return [REQUESTS, *dict.fromkeys([*answers, *asked])]


def images(attempt: Attempt) -> list[str]:
    """What is to be imported before the first run: both arms' images, each once."""
    if not attempt.contained:
        return []
    return sorted({point.image for arm in attempt.job.arms for point in attempt.job.of(arm).points})


def host_file(attempt: Attempt) -> bytes:
    """HOST.json of utils.node.host: what is asked of the node outside the container."""
    runtime, known = container.for_cluster(attempt.cluster), attempt.order.known_images
    points = [point for arm in attempt.job.arms for point in attempt.job.of(arm).points]
    content = questions.of_cluster(attempt.cluster, points) | {
        "shared": attempt.out if attempt.shared else "",
        "load_image": attempt.load_image,
        "images": [
            runtime.entry(image) | {"anonymous": known is not None and image not in known}
            for image in images(attempt)
        ],
    }
    return json.dumps(content, indent=1).encode()


def mounts(attempt: Attempt, name: str) -> list[Mount]:
    """What the container of a run sees: its own folders, and the models read-only; no home, no images.

    It holds the load client and the recorder, and the server where that has no container of its own.

    Nothing that it can write is read outside by a name that it could turn into a link, and no other run's results are
    among it. How many requests each point has comes as a copy of what the first run said.
    """
    made = [
        Mount(f"{attempt.work}/{BOX}/{name}", attempt.cluster.container.workdir),
        Mount(f"{attempt.out}/{name}", attempt.run_folder(name)),
        Mount(f"{attempt.work}/{METER}", attempt.inside(METER), read_only=True),
    ]
    return made + container.cluster_mounts(attempt.cluster)


def server_mounts(attempt: Attempt, name: str) -> list[Mount]:
    """What the container of a run's server sees: the code, its home and TMPDIR, and models. Nothing of what is recorded is among it."""
    workdir = attempt.cluster.container.workdir
    made = [
        Mount(f"{attempt.work}/{BOX}/{SERVER}{name}", workdir),
        Mount(f"{attempt.work}/{BOX}/{name}/scratch", attempt.inside("scratch")),
        Mount(f"{attempt.out}/{SERVER}{name}", attempt.run_folder(name)),
    ]
    return made + container.cluster_mounts(attempt.cluster)


def check_paths(attempt: Attempt) -> None:
    """Paths go through `#SBATCH` lines and lists of mounts, which know no quoting.

    Raises:
        HarnessError: USAGE for one with a blank, a comma, a colon or a percent sign in it.
    """
    paths = [("paths.spool", attempt.work), ("container.workdir", attempt.cluster.container.workdir)]
    paths += [("--out", str(attempt.order.out))] if attempt.shared else []
    for mount in container.cluster_mounts(attempt.cluster):
        paths += [("container.mounts", mount.source), ("container.mounts", mount.target)]
    for name, path in paths:
        if odd := sorted(set(re.findall(r"[^\w/.+@=~-]", path, re.ASCII))):
            raise HarnessError(
                Exit.USAGE,
                f"{path!r} ({name}) has {' '.join(map(repr, odd))} in it, which Slurm cannot be given in a path; use another",
            )


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
        f"--{name}={value}" if value else f"--{name}"
        for name, value in found.items()
        if value or name in slurm.options
    ]
    return [*lines, "--no-requeue"]


def pack(attempt: Attempt, root: Path, provenance: Provenance) -> Payload:
    """Everything that travels: code of the harness at `root`, carried models, and the files of the attempt."""
    files = {
        f"{name}.json": one.model_dump_json(by_alias=True)
        for name, one in node_jobs(attempt, provenance).items()
    }
    content = {name: text.encode() for name, text in files.items()} | {"host.json": host_file(attempt)}
    trees = {payload.TREE: (attempt.order.tree, attempt.job.of("head"))}
    if attempt.job.base is not None:
        base_tree = attempt.order.base_tree or attempt.order.tree
        trees[payload.BASE_TREE] = (base_tree, attempt.job.of("base"))
    return payload.make(root, trees, attempt.cluster.devices.arch, content)


def by_sbcast(attempt: Attempt, packed: Payload) -> bool:
    """Whether the payload is too large for the script."""
    slurm = attempt.cluster.slurm
    return slurm is not None and len(packed.text()) > slurm.script_bytes - REST_BYTES


def _environment(attempt: Attempt, folder: str) -> dict[str, str]:
    """Of a container's programs, over what its image sets."""
    where = attempt.inside(folder)
    env = {"TMPDIR": where, "HOME": where, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
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
            "socket": f"{attempt.inside('scratch')}/{SERVER_SOCKET}",
            "python": attempt.python,
        },
        "codes": {
            "storage": int(Exit.STORAGE_FULL),
            "infra": int(Exit.INFRA_FAILED),
            "preflight": int(Exit.PREFLIGHT_FAILED),
            "gate": int(Exit.GATE_FAILED),
            "died": int(Exit.SERVER_DIED),
        },
        "hold_s": HOLD_S,
        "gone_s": GONE_S,
        "sbcast": attempt.sbcast,
        "sbcast_s": SBCAST_S,
        "payload_sha256": packed.sha256,
        "payload_text": "" if by_sbcast(attempt, packed) else packed.text(),
    }
    return script.environment().get_template("batch.sh.j2").render(values)
