"""Container runtimes behind one interface: where an image is imported to, how, and the words that enter it. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
import string
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from matrix import image as images
from matrix.errors import Exit, HarnessError
from matrix.image import ARCHIVE
from utils.launch.questions import on_node
from utils.node.host import isolation
from utils.node.host.image import OUTPUT

if TYPE_CHECKING:
    from matrix.cluster import Cluster

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAYLOAD = "payload"
"""Folder of a job with our code; the working directory of its programs, so that they find it without a PYTHONPATH."""

LONGEST = 150
"""Letters of an image's own name in its file's, which with hash, process number and `.part` stays below 255."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the node in the container."""

    source: str
    target: str
    read_only: bool = False


def cluster_mounts(cluster: Cluster) -> list[Mount]:
    """What the cluster file mounts; `:ro` behind the target is read-only."""
    found = cluster.container.mounts.items()
    return [Mount(on_node(a), b.removesuffix(":ro"), read_only=b.endswith(":ro")) for a, b in found]


class Runtime(Protocol):
    """How jobs enter a container."""

    def image_path(self, image: str) -> str:
        """The imported file on the node; empty where there is none."""

    def entry(self, image: str) -> dict[str, Any]:
        """What utils.node.host.image needs to import it."""

    def enter(self, image: str, mounts: list[Mount], work: str, env: dict[str, str]) -> list[str]:
        """The command line up to the program: `srun …`, with nothing of the caller's environment but `env`.

        Args:
            image: as the recipe names it.
            mounts: besides the image.
            work: the job's folder on the node; a runtime may use `image` in it.
            env: for the program, besides what the image sets.
        """


def for_cluster(cluster: Cluster) -> Runtime:
    """The runtime that a cluster file names."""
    if cluster.container.runtime == "pyxis":
        return Pyxis(cluster)
    return Charliecloud(cluster) if cluster.container.runtime == "charliecloud" else Host(cluster)


def squash_name(image: str) -> str:
    """The file that an image is imported to: two references never share one, and a long one is cut to what a file may be called."""
    known = string.ascii_letters + string.digits + ".-"
    readable = "".join(letter if letter in known else "+" for letter in image)
    whole = hashlib.sha256(image.encode()).hexdigest()
    # What is cut off is no part of the name any more, so that a few digits could be met by trying.
    return (
        f"{readable}.{whole[:8]}.sqsh" if len(readable) <= LONGEST else f"{readable[:LONGEST]}.{whole}.sqsh"
    )


def srun(cluster: Cluster, env: dict[str, str]) -> list[str]:
    """One task of the allocation, also where Slurm has not noticed yet that the one before has ended (`--overlap`).

    `--export` with a list sets what it names and Slurm's own variables, and nothing else (srun(1)).
    """
    line = ["srun", "--ntasks=1", "--overlap"]
    if cluster.slurm and cluster.slurm.cpus_per_task:  # not inherited from sbatch since Slurm 22.05
        line.append(f"--cpus-per-task={cluster.slurm.cpus_per_task}")
    if not env:
        return line
    return [*line, "--export=" + ",".join(f"{name}={value}" for name, value in env.items())]


@dataclass(frozen=True, slots=True)
class Host:
    """No container: the node's own files, with processes of the run's own where the node allows it."""

    cluster: Cluster

    def image_path(self, image: str) -> str:
        """Packages are not imported."""
        del image
        return ""

    def entry(self, image: str) -> dict[str, Any]:
        """Never asked for."""
        raise AssertionError(image)

    def enter(self, image: str, mounts: list[Mount], work: str, env: dict[str, str]) -> list[str]:
        """Without mounts, so that every path is the node's."""
        del image, mounts
        return [*srun(self.cluster, env), f"--chdir={work}/{PAYLOAD}", *isolation.entering("none")]


class Squash(ABC):
    """What the runtimes that start squashfs files share."""

    cluster: Cluster
    reads_fstab: ClassVar[bool] = False
    """Whether the runtime mounts what the image's own /etc/fstab says, which may be any folder of the node."""

    def image_path(self, image: str) -> str:
        """Below paths.squash, under a name made from the reference."""
        return f"{on_node(self.cluster.paths.squash)}/{squash_name(image)}"

    def entry(self, image: str) -> dict[str, Any]:
        """Copy an archive, else ask a registry."""
        made: dict[str, Any] = {
            "image": image,
            "path": self.image_path(image),
            "archive": "",
            "import": [],
            "digest": [],
        }
        made["mounts_by_itself"] = self.reads_fstab
        if not image.startswith(ARCHIVE):
            return made | {"import": self.importer(image), "digest": self.asker(image)}
        name = image.removeprefix(ARCHIVE)
        if not re.fullmatch(r"\w[\w.+-]*", name) or not self.cluster.paths.archives:
            raise HarnessError(
                Exit.RECIPE_INVALID,
                f"image {image!r}: write the name of a file below the cluster's paths.archives",
            )
        return made | {"archive": f"{on_node(self.cluster.paths.archives)}/{name}"}

    @abstractmethod
    def importer(self, image: str) -> list[str]:
        """The command that writes the squashfs to OUTPUT."""

    @abstractmethod
    def asker(self, image: str) -> list[str]:
        """The command that prints the digest behind a reference; empty where none can, or none is needed."""


@dataclass(frozen=True, slots=True)
class Pyxis(Squash):
    """enroot by Slurm's plugin pyxis (NVIDIA/pyxis README, "Usage"; NVIDIA/enroot doc/cmd/import.md)."""

    cluster: Cluster
    reads_fstab: ClassVar[bool] = True

    def importer(self, image: str) -> list[str]:
        """`enroot import`."""
        return ["enroot", "import", "--output", OUTPUT, images.parse(image).enroot]

    def asker(self, image: str) -> list[str]:
        """`enroot digest` (since enroot 4.0), unless the reference is a digest itself."""
        reference = images.parse(image)
        return [] if reference.digest else ["enroot", "digest", reference.enroot]

    def enter(self, image: str, mounts: list[Mount], work: str, env: dict[str, str]) -> list[str]:
        """Home stays outside; what is exported is set inside unless the image sets it itself."""
        del work
        container = self.cluster.container
        texts = [f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}" for mount in mounts]
        texts += [f"{device}:{device}" for device in container.devices]
        line = [*srun(self.cluster, env), f"--container-image={self.image_path(image)}"]
        line += [
            f"--container-mounts={','.join(texts)}",
            f"--container-workdir={container.workdir}/{PAYLOAD}",
        ]
        line.append("--no-container-mount-home")
        line.append("--container-writable" if container.writable else "--container-readonly")
        line.append("--container-remap-root" if container.remap_root else "--no-container-remap-root")
        line.append("--container-entrypoint" if container.entrypoint else "--no-container-entrypoint")
        return line


@dataclass(frozen=True, slots=True)
class Charliecloud(Squash):
    """ch-run on a squashfs (ch-run(1)): no daemon, no setuid, a Debian package, so that public CI can have it."""

    cluster: Cluster

    def importer(self, image: str) -> list[str]:
        """`ch-image pull` and `ch-convert`, in one command because the importer runs one."""
        name = f"servematrix-{squash_name(image).rsplit('.', 2)[1]}"  # two imports at once have two names
        script = 'ch-image pull "$1" "$3" && ch-convert -o squash "$3" "$2" && ch-image delete "$3"'
        return ["sh", "-ec", script, "sh", image, OUTPUT, name]

    def asker(self, image: str) -> list[str]:
        """ch-image tells no digest."""
        del image
        return []

    def enter(self, image: str, mounts: list[Mount], work: str, env: dict[str, str]) -> list[str]:
        """ch-run cannot bind read-only, so an outer user namespace makes such mounts first; its own then inherits them."""
        steps = ["export USER=servematrix"]  # ch-run refuses to start without it
        for mount in mounts:
            if mount.read_only:
                folder = shlex.quote(mount.source)
                steps.append(f"mount --bind {folder} {folder}")
                steps.append(f"mount -o remount,bind,ro {folder}")
        inside = {"PATH": PATH} | env
        line = [
            "exec",
            "ch-run",
            "--private-tmp",
            f"--mount={work}/image",
            f"--cd={self.cluster.container.workdir}/{PAYLOAD}",
        ]
        line.append("--unset-env=*")
        if not image.startswith(ARCHIVE):
            line.append("--set-env")  # what the image's own file says, which ch-image writes
        line += [f"--set-env={name}={value}" for name, value in inside.items()]
        line += [f"--bind={mount.source}:{mount.target}" for mount in mounts]
        taken = [
            f'${{{name}:+--set-env={name}="${name}"}}' for name in sorted(set(self.cluster.env_from.values()))
        ]
        words = [
            *(shlex.quote(word) for word in line),
            *taken,
            shlex.quote(self.image_path(image)),
            '-- "$@"',
        ]
        steps.append(" ".join(words))
        outer = [*srun(self.cluster, {"PATH": PATH} | env), *isolation.entering("charliecloud")]
        return [*outer, "sh", "-ec", "\n".join(steps), "sh"]
