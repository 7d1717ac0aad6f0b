"""What a node is asked, made from its cluster file: HOST.json of utils.node.host, for jobs, local runs and `doctor`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from matrix import image as images
from matrix.image import ARCHIVE, HUB
from matrix.tree import is_carried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matrix.cluster import Cluster

TMP = "/tmp"  # noqa: S108 - of the node; asked whether it has room, and files in it have names made from a hash


class Served(Protocol):
    """What is to run: a point of a plan, or a recipe."""

    @property
    def model(self) -> str:
        """Of the hub, a folder, or carried by the tree."""

    @property
    def revision(self) -> str | None:
        """Of the hub's model."""

    @property
    def image(self) -> str:
        """Of a registry, an archive, or a package."""


def on_node(path: str) -> str:
    """A path of a cluster file as it is on the node: `$UID` is the submitting user, as whom the job runs."""
    return path.replace("$UID", str(os.getuid()))


def of_cluster(cluster: Cluster, points: Iterable[Served] = ()) -> dict[str, Any]:
    """Every question that a cluster file leads to.

    Args:
        cluster: whose nodes are asked.
        points: what is to run there; their models are looked for in the cache.
    """
    folders = {name: on_node(getattr(cluster.paths, name)) for name in ("spool", "squash", "runtime")}
    folders = {name: folder for name, folder in folders.items() if folder}
    folders["tmp"] = TMP
    devices = cluster.devices
    return {
        "runtime": cluster.container.runtime,
        "folders": folders,
        "shared": "",
        "models": on_node(cluster.paths.models),
        "archives": on_node(cluster.paths.archives),
        "hub": [list(one) for one in hub_models(points)],
        "offline": cluster.env.get("HF_HUB_OFFLINE", "0") not in {"", "0"},
        "registries": [],
        "devices": cluster.container.devices,
        "kind": devices.kind,
        "gpus": devices.count,
        "gpu_model": devices.model,
        "power_cap_w": devices.power_cap_w,
        "clock_mhz": devices.clock_mhz,
        "port": cluster.port,
        "images": [],
    }


def hub_models(points: Iterable[Served]) -> list[tuple[str, str]]:
    """Models of the Hugging Face hub with their revisions; folders and carried ones are elsewhere."""
    found = {
        (point.model, point.revision or "")
        for point in points
        if not is_carried(point.model) and not point.model.startswith("/") and "/" in point.model
    }
    return sorted(found)


def registries(points: Iterable[Served]) -> list[str]:
    """Where the images of points come from; packages and archives come from none."""
    names = {
        point.image for point in points if "==" not in point.image and not point.image.startswith(ARCHIVE)
    }
    return sorted({images.parse(name).registry or HUB for name in names})
