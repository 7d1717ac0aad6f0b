"""Stages what a server loads beside vLLM: a patched kernel, a test vehicle, each a vLLM plugin.

The server's Python path gets a folder with these packages and nothing else of the tree. What makes a package a plugin is
written here: the metadata of a distribution whose entry point is `register` in the package's module `plugin`
(https://docs.vllm.ai/en/latest/design/plugin_system.html; vLLM calls it in each of its processes).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import key, tree
from matrix.errors import Exit
from utils.node import marker
from utils.node.exceptions import RunFailed

if TYPE_CHECKING:
    from matrix.plan import Job

VARIANT = "SERVEMATRIX_KERNEL_VARIANT"
"""Tells a kernel which of its variants is asked for."""


@dataclass(frozen=True, slots=True)
class Package:
    """A kernel or a vehicle."""

    name: str
    """As `tree.package` wants it."""
    files: str
    """Hash of what is shipped, from the plan."""

    @property
    def module(self) -> str:
        """The name by which it is imported."""
        return self.name.rsplit("/", 1)[-1].replace("-", "_")

    @property
    def metadata(self) -> str:
        """The folder of the distribution's metadata."""
        return f"{self.module}-{self.files}.dist-info"

    @property
    def metadata_files(self) -> dict[str, str]:
        """What makes it a plugin."""
        return {
            "METADATA": f"Metadata-Version: 2.1\nName: {self.module}\nVersion: {self.files}\n",
            "entry_points.txt": f"[vllm.general_plugins]\n{self.module} = {self.module}.plugin:register\n",
        }

    def shipped(self, root: Path, arch: str) -> list[Path]:
        """The files of a tree that go to the node."""
        folder = root / tree.package(self.name)
        found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return sorted(path for path in found if tree.is_shipped(str(path.relative_to(folder)), arch))

    def stage(self, root: Path, arch: str, into: Path) -> None:
        """Copy it, and make it a plugin.

        Raises:
            RunFailed: PREFLIGHT_FAILED where the files are not those of the plan.
        """
        folder = root / tree.package(self.name)
        files = {str(path.relative_to(folder)): path.read_bytes() for path in self.shipped(root, arch)}
        if key.files_digest(files) != self.files:
            raise RunFailed(
                Exit.PREFLIGHT_FAILED,
                f"the files of {tree.package(self.name)} are not those that were planned; plan again",
            )
        for name, content in files.items():
            path = into / self.module / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (into / self.metadata).mkdir()
        for name, text in self.metadata_files.items():
            (into / self.metadata / name).write_text(text)


def packages(job: Job) -> list[Package]:
    """What the job's server loads; its points agree, for they share a server."""
    first = job.points[0]
    found = [Package(f"vehicles/{first.vehicle.name}", first.vehicle.files)] if first.vehicle else []
    return [*found, Package(first.kernel.name, first.kernel.files)] if first.kernel else found


def stage(job: Job, root: str, arch: str, scratch: Path, env: dict[str, str]) -> dict[str, str]:
    """The server's environment with the job's kernel and vehicle in it; unchanged where there are none.

    Args:
        job: whose points say what they ask for.
        root: of the tree that has the packages.
        arch: of the GPU, for its tiles.
        scratch: of the run; the staging folder and the marker's lie in it.
        env: of the server so far.
    """
    wanted = packages(job)
    if not wanted:
        return env
    folder = scratch / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for package in wanted:
        package.stage(Path(root), arch, folder)
    path = ":".join(part for part in (str(folder), env.get("PYTHONPATH", "")) if part)
    kernel = job.points[0].kernel
    more = {VARIANT: kernel.variant, marker.FOLDER: str(marker.make(scratch))} if kernel else {}
    return env | {"PYTHONPATH": path} | more
