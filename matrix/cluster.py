"""A cluster file: where and how a job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from matrix import cluster_facts, strict_yaml, words
from matrix.errors import Exit, HarnessError, Problem
from matrix.schema import Strict, validate
from matrix.slurm import section
from matrix.slurm.section import Slurm

if TYPE_CHECKING:
    from matrix.source import Source
    from matrix.strict_yaml import Document

FOLDER = "recipes/clusters"
Path = Annotated[str, AfterValidator(words.path)]
Text = Annotated[str, AfterValidator(words.letters)]
Variable = Annotated[str, AfterValidator(words.variable)]


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
    memory_gib: float | None = Field(None, gt=0, le=4096)
    """Memory of one GPU in GiB, where `matrix/memory.json` does not know the model, or this one has another; only `plan` asks."""
    power_cap_w: int | None = None
    """What the node's tool must report as the power cap of each device; a node that says otherwise is not used."""
    clock_mhz: int | None = None
    """What it must report as the highest engine clock."""

    @model_validator(mode="after")
    def _agrees(self) -> Devices:
        if wrong := cluster_facts.of_devices(self.kind, self.model, self.arch):
            raise ValueError(wrong)
        return self


class Container(Strict):
    """What a server runs in."""

    runtime: Literal["none", "pyxis", "charliecloud"]
    """`none` is the host's Python with the locked versions that the recipe's image names."""
    mounts: dict[Path, Annotated[str, AfterValidator(cluster_facts.mounted)]] = {}
    """Folder on the node -> folder in the container, with `:ro` for read-only ones."""
    devices: list[Annotated[str, AfterValidator(cluster_facts.device)]] = []
    """Device nodes that the container needs."""
    remap_root: bool = False
    """Be root inside, without being it. With pyxis that undoes read-only mounts, so that it goes with none."""
    writable: bool = False
    """Allow writes to the image's own folders, which are gone afterwards."""
    entrypoint: bool = False
    """Run the image's entry point first."""
    workdir: Annotated[str, AfterValidator(words.inside)] = "/workspace"
    """Where the job's folder is mounted."""

    @field_validator("runtime", mode="before")
    @classmethod
    def _is_known(cls, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        if value == "enroot":
            raise ValueError("write pyxis: enroot's images are run by its plugin for Slurm")
        return value


class Paths(Strict):
    """Folders on the node. `$UID` becomes the user's number."""

    models: str = ""
    """The Hugging Face cache, as the node knows it."""
    squash: str = ""
    """Imported images."""
    archives: str = ""
    """Squashfs files that `image: archive:NAME` names, put there by hand."""
    evaluator: str = ""
    """A Python with lm-eval, for recipes that ask for a task: as runs see it, which in a container is below one of its mounts."""
    runtime: str = ""
    """XDG_RUNTIME_DIR of the container runtime, where the node has none."""
    spool: str = "/tmp/servematrix-$UID"  # noqa: S108 - a folder per user, made with mode 0700 on the node
    """Where jobs work, and where results wait on a node; on a local disk."""

    @field_validator("*")
    @classmethod
    def _is_whole(cls, value: str) -> str:
        return words.path(value) if value else value


class Limits(Strict):
    """How long things may take, and the defaults that an estimate starts from (seconds)."""

    walltime_s: int = Field(10800, ge=60)
    """The longest job that the cluster takes."""
    ready_s: int = Field(3600, ge=1)
    """From the server's start to its first completion."""
    client_s: int = Field(7200, ge=1)
    """One call of the load client, from its first request on."""
    client_start_s: int = Field(900, ge=1)
    """From the load client's start until it takes calls: its imports take long on a busy machine or a cold disk."""
    foreign_share: float = Field(0.2, ge=0, le=1)
    """Of the cores that a run is pinned to: what others may use before a point is invalid. 1 lets all pass, with a note."""
    stuck_s: int = Field(1800, ge=1)
    """A job that cannot start because no node of its partition is up, or that is in a state of Slurm's that servematrix does not know, or that stays COMPLETING without a last word, is ended after this."""
    queue_s: int = Field(604800, ge=0)
    """The longest that a job waits for its turn; 0 waits for ever."""
    estimate_start_s: int = Field(900, ge=0)
    """Assumed for a server's start, until a record shows it."""
    estimate_request_s: float = Field(10.0, gt=0)
    """Assumed for one request that runs alone, until a record shows how long a point takes."""
    estimate_tok_per_s: float = Field(10000.0, gt=0)
    """Assumed for a full node, input and output tokens together."""


_SLURM_HAS_ITS_SECTION: dict[str, JsonValue] = {
    "if": {"properties": {"launcher": {"const": "slurm"}}, "required": ["launcher"]},
    "then": {"required": ["slurm"], "properties": {"slurm": {"type": "object"}}},
}
"""For editors."""


class Cluster(Strict):
    """One file of `recipes/clusters/`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_SLURM_HAS_ITS_SECTION]})

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
    env: dict[
        Annotated[Variable, AfterValidator(cluster_facts.owned)], Annotated[Text, AfterValidator(words.value)]
    ] = {}
    """Environment of the server on this cluster; part of every key."""
    env_from: dict[Annotated[Variable, AfterValidator(cluster_facts.owned)], Variable] = {}
    """NAME: OTHER sets NAME to what OTHER holds on the node: in a task of the job, or in the shell that runs a local cluster."""
    client_cores: int = Field(1, ge=0)
    """Cores kept for the load client, the last ones; the server has the others. 0 shares them all."""
    port: int = Field(0, ge=0, le=65535)
    """The server's port; 0 takes a free one."""
    limits: Limits = Limits()
    """How long things may take."""
    runner: str = Field("servematrix", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Label of the GitHub runners on this cluster's launcher host."""
    registries: list[Annotated[str, AfterValidator(words.registry)]] = ["docker.io"]
    """Registries that images of a pull request may come from; one that the default branch does not run also carries its digest."""
    sweeps: bool | None = None
    """Whether sweeps of pull requests may run here; unless it says so, only where servers run in containers, because their kernels are code."""

    @property
    def takes_sweeps(self) -> bool:
        """Whether code of a pull request may run here."""
        return self.container.runtime != "none" if self.sweeps is None else self.sweeps

    @model_validator(mode="after")
    def _slurm_is_complete(self) -> Cluster:
        if self.launcher == "slurm" and self.slurm is None:
            raise ValueError("launcher slurm wants a `slurm:` section with partition, gres and cpus_per_task")
        if self.launcher == "local" and self.container.runtime != "none":
            raise ValueError("launcher local wants `container: {runtime: none}`")
        if self.container.runtime != "none" and not self.paths.squash:
            raise ValueError("a container runtime wants `paths: {squash: DIR}`, where images are imported to")
        read_only = [target for target in self.container.mounts.values() if target.endswith(":ro")]
        if self.container.runtime == "pyxis" and self.container.remap_root and read_only:
            raise ValueError(
                f"with remap_root a server is root in its container, and undoes the read-only mount {read_only[0]}; "
                "set remap_root: false"
            )
        for source, target in self.container.mounts.items():
            has_models = self.paths.models and f"{self.paths.models}/".startswith(f"{source.rstrip('/')}/")
            if has_models and not target.endswith(":ro"):
                raise ValueError(f"the mount {source} has the models in it; make it read-only: {target}:ro")
            if self.paths.squash and f"{self.paths.squash}/".startswith(f"{source.rstrip('/')}/"):
                raise ValueError(
                    f"paths.squash lies below the mount {source}; servers must not reach the images"
                )
        return self


SECTIONS: tuple[type[Strict], ...] = (Cluster, Devices, Container, Slurm, Paths, Limits)
"""The file and its sections, as docs list them."""


def names(source: Source) -> list[str]:
    """The clusters that a tree has."""
    prefix, suffix = f"{FOLDER}/", ".yaml"
    files = source.files(FOLDER)
    return [f.removeprefix(prefix).removesuffix(suffix) for f in files if f.endswith(suffix)]


def path(name: str) -> str:
    """The file of a cluster."""
    return f"{FOLDER}/{name}.yaml"


def load(source: Source, name: str) -> Cluster:
    """Read and check one cluster file."""
    at = path(name)
    return checked(strict_yaml.read(source.read(at), at))


def checked(document: Document) -> Cluster:
    """The cluster that a file's document means.

    Raises:
        HarnessError: RECIPE_INVALID.
    """
    problems: list[Problem] = []
    cluster = validate(Cluster, document, problems)
    found = [*cluster_facts.of_secrets(document.value)]
    if cluster and cluster.slurm:
        count = cluster.devices.count if cluster.devices.kind != "cpu" else None
        found += section.disagreements(cluster.slurm, count, cluster.client_cores)
    problems += [Problem(document.place(at), text) for at, text in found]
    if cluster is None or problems:
        raise HarnessError(Exit.RECIPE_INVALID, "", problems)
    return cluster
