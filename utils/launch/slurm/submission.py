"""One try at a job: what it runs, where it lies on its node, and what its programs see of that. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.plan import ARMS
from matrix.tokenizer_code import brings_code
from utils.launch.questions import TMP, on_node
from utils.launch.slurm import container
from utils.launch.slurm.container import PAYLOAD, Mount
from utils.launch.slurm.receive import Left
from utils.node.spec import (
    Run,
    runs,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.cluster import Cluster
    from matrix.plan import Arm, Job
    from utils.launch.interface import Order

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
        # A trace is written beside the server, and is no measurement.
        if not self.contained or self.order.profile or brings_code(job):
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


def log_on_node(folder: str) -> str:
    """Slurm writes it before the job's own folder can be there."""
    return f"{TMP}/servematrix-{folder}.log"


def left(cluster: Cluster, folder: str, *, shared: bool = False) -> Left:
    """What a job has on its node, from the cluster file and the folder's name."""
    python = cluster.slurm.python if cluster.slurm else "python3"
    return Left(f"{on_node(cluster.paths.spool)}/{folder}", "" if shared else log_on_node(folder), python)


def run_name(run: Run) -> str:
    """Name of a run's folder and files."""
    return f"run-{run.index}-{run.arm}"


def images(attempt: Attempt) -> list[str]:
    """What is to be imported before the first run: both arms' images, each once."""
    if not attempt.contained:
        return []
    return sorted({point.image for arm in attempt.job.arms for point in attempt.job.of(arm).points})


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
                f"{path!r} ({name}) has {' '.join(map(repr, odd))} in it, which a path for Slurm may not have; use another",
            )
