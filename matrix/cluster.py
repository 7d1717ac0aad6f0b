"""A cluster file: where and how a job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError, Problem
from matrix.schema import Strict, validate

if TYPE_CHECKING:
    from matrix.source import Source

FOLDER = "recipes/clusters"


class Devices(Strict):
    """What computes, on one node."""

    kind: Literal["cpu", "rocm", "cuda"]
    """`cpu` counts the ranks that may share the machine."""
    model: str
    """The field's name for it, such as MI300X; part of every key."""
    arch: str = ""
    """The compiler's name for it, such as gfx942; picks the kernel's tile file."""
    count: int = Field(ge=1, le=64)
    """How many there are on a node; part of every key."""


class Container(Strict):
    """What a server runs in."""

    runtime: Literal["none", "pyxis", "charliecloud"]
    """`none` is the host's Python with the locked versions that the recipe's image names."""
    mounts: dict[str, str] = {}
    """Folder on the node -> folder in the container, with `:ro` for read-only ones."""
    devices: list[str] = []
    """Device nodes that the container needs."""
    remap_root: bool = False
    """Be root inside, without being it."""
    writable: bool = False
    """Allow writes to the image's own folders, which are gone afterwards."""
    entrypoint: bool = False
    """Run the image's entry point first."""
    workdir: str = "/workspace"
    """Where the job's folder is mounted."""


class Slurm(Strict):
    """What a job asks Slurm for."""

    partition: str
    """Of the cluster."""
    gres: str
    """Generic resources of a node, such as gpu:8."""
    cpus_per_task: int = Field(ge=1)
    """Cores of a node."""


class Paths(Strict):
    """Folders on the node."""

    models: str = ""
    """The Hugging Face cache, as the node knows it."""
    squash: str = ""
    """Imported images."""
    runtime: str = ""
    """XDG_RUNTIME_DIR of the container runtime, where the node has none; `$UID` stands for the user."""


class Limits(Strict):
    """How long things may take, and the defaults that an estimate starts from (seconds)."""

    walltime_s: int = Field(10800, ge=60)
    """The longest job that the cluster takes."""
    ready_s: int = Field(3600, ge=1)
    """From the server's start to its first completion."""
    client_s: int = Field(7200, ge=1)
    """One call of the load client."""
    estimate_start_s: int = Field(900, ge=0)
    """Assumed for a server's start, while no record tells."""
    estimate_point_s: int = Field(900, ge=0)
    """Assumed for a point, while no record tells."""


class Cluster(Strict):
    """One file of `recipes/clusters/`."""

    launcher: Literal["local", "slurm"]
    """How jobs get to the nodes."""
    storage: Literal["shared", "staged"] = "shared"
    """`staged`: the login node's files are not on the nodes."""
    devices: Devices
    """What computes."""
    container: Container
    """What servers run in."""
    slurm: Slurm | None = None
    """What jobs ask Slurm for."""
    paths: Paths = Paths()
    """Folders on the nodes."""
    env: dict[str, str] = {}
    """Environment of the server on this cluster; part of every key."""
    env_from: dict[str, str] = {}
    """NAME: OTHER sets NAME to what OTHER holds on the node."""
    client_cores: int = Field(1, ge=0)
    """Cores kept for the load client, the last ones; the server has the others. 0 shares them all."""
    port: int = Field(0, ge=0, le=65535)
    """The server's port; 0 takes a free one."""
    limits: Limits = Limits()
    """How long things may take."""

    @model_validator(mode="after")
    def _slurm_is_complete(self) -> Cluster:
        if self.launcher == "slurm" and self.slurm is None:
            raise ValueError("launcher slurm wants a `slurm:` section with partition, gres and cpus_per_task")
        if self.launcher == "local" and self.container.runtime != "none":
            raise ValueError("launcher local wants `container: {runtime: none}`")
        return self


def names(source: Source) -> list[str]:
    """The clusters that a tree has."""
    prefix, suffix = f"{FOLDER}/", ".yaml"
    files = source.files(FOLDER)
    return [f.removeprefix(prefix).removesuffix(suffix) for f in files if f.endswith(suffix)]


def load(source: Source, name: str) -> Cluster:
    """Read and check one cluster file."""
    path = f"{FOLDER}/{name}.yaml"
    document = strict_yaml.read(source.read(path), path)
    problems: list[Problem] = []
    cluster = validate(Cluster, document, problems)
    if cluster is None or problems:
        raise HarnessError(Exit.RECIPE_INVALID, "", problems)
    return cluster
