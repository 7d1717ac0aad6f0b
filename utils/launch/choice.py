"""Which launcher runs a cluster's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.cluster import Cluster
    from utils.launch.interface import Launcher


NAMES = ("local", "slurm")


def begins_with_canary(cluster: Cluster, asked: str | None = None) -> bool:
    """Whether each job begins with a start that nobody judges, also with one arm: where a start costs a place in a queue."""
    return (asked or cluster.launcher) != "local"


def state_folder() -> Path:
    """Where launchers of one user on one controller meet: cache of polls, quarantine, locks."""
    from utils.launch.slurm.poll import state_folder as of_controller  # noqa: PLC0415 - the local launcher needs none of it

    return of_controller()


def node_states() -> dict[str, str]:
    """What the cluster's scheduler says of each of its nodes; nothing where it does not answer."""
    from utils.launch.slurm import client  # noqa: PLC0415 - the local launcher needs none of it

    try:
        return {node.name: node.state for node in client.nodes()}
    except client.SlurmError:
        return {}


def for_cluster(name: str, cluster: Cluster, asked: str | None = None) -> Launcher:
    """The launcher that a cluster file names, or the one that was asked for in its place.

    Raises:
        HarnessError: LAUNCHER_MISSING where that launcher cannot start what the cluster's jobs run in.
    """
    if (asked or cluster.launcher) == "slurm":
        from utils.launch.slurm.launcher import Slurm  # noqa: PLC0415 - the local launcher needs none of it

        return Slurm()
    if cluster.container.runtime != "none":
        raise HarnessError(
            Exit.LAUNCHER_MISSING,
            f"cluster {name} runs jobs in {cluster.container.runtime} containers, which the local launcher does not start; "
            "leave out --launcher, or show the commands: ./servematrix run --print-script …",
        )
    from utils.launch.local import Local  # noqa: PLC0415 - nor the other way round

    return Local()
