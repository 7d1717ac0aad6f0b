"""Which launcher a cluster wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.local import Local

if TYPE_CHECKING:
    from matrix.cluster import Cluster
    from utils.launch.base import Launcher


def for_cluster(name: str, cluster: Cluster) -> Launcher:
    """The launcher that a cluster file names.

    Raises:
        HarnessError: LAUNCHER_MISSING where this version cannot run jobs; their commands can still be shown.
    """
    if cluster.launcher == "local":
        return Local()
    raise HarnessError(
        Exit.LAUNCHER_MISSING,
        f"cluster {name} wants the launcher {cluster.launcher!r}, which this version does not have; "
        "its commands: ./servematrix run --print-script …",
    )
