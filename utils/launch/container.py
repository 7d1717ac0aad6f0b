"""The container line of a job: pure, from the cluster file and the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matrix.cluster import Cluster


def pyxis(cluster: Cluster, image_path: str, workspace: str) -> list[str]:
    """`srun` with pyxis' options (NVIDIA/pyxis, README "Command-line options").

    Args:
        cluster: where it runs.
        image_path: the imported squash file on the node.
        workspace: the job's own folder on the node, the only writable mount.
    """
    container = cluster.container
    mounts = [f"{workspace}:{container.workdir}"]
    mounts += [f"{host}:{inside}" for host, inside in container.mounts.items()]
    mounts += [f"{device}:{device}" for device in container.devices]
    line = ["srun", f"--container-image={image_path}", f"--container-mounts={','.join(mounts)}"]
    line += [f"--container-workdir={container.workdir}", "--no-container-mount-home"]
    if container.writable:
        line.append("--container-writable")
    if container.remap_root:
        line.append("--container-remap-root")
    if not container.entrypoint:
        line.append("--no-container-entrypoint")
    return line


def squash_name(image: str) -> str:
    """The file that an image is imported to."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "+" for letter in image) + ".sqsh"
