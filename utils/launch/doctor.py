"""What `doctor` asks: of a cluster file, from here and with a probe on a node; and of every cluster, whether it can run from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.slurm.section import Slurm
from matrix.tree import lock_path
from utils.launch import questions
from utils.launch.slurm import diagnosis, probe
from utils.node.host import machine, ready
from utils.node.preflight import Check, check, note
from utils.setup import environments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matrix.cluster import Cluster
    from utils.launch.questions import Served

UNASKED = "--probe asks a node"


def file_of(name: str) -> str:
    """A cluster's file, for sentences."""
    return f"{clusters.FOLDER}/{name}.yaml"


def of_cluster(
    name: str, cluster: Cluster, served: Sequence[Served], root: Path, *, asks_node: bool
) -> Iterator[Check]:
    """Every check of one cluster.

    Args:
        name: of its file.
        cluster: the file.
        served: what recipes run there: models and images.
        root: of the harness.
        asks_node: whether a job of one minute may run.
    """
    wanted = questions.of_cluster(cluster, served)
    if cluster.launcher == "local":
        wanted |= {"folders": {"tmp": questions.TMP}}
        yield from _packages(served)
        yield from ready.checks(wanted)
        return
    asked = cluster.slurm or Slurm()
    fine = True
    for one in diagnosis.checks(cluster, asked, file_of(name)):
        fine = fine and (
            one.passed or one.name not in {"Slurm's commands", "controller", "partition", "nodes"}
        )
        yield one
    names = questions.registries(served)
    if asks_node and fine:
        yield from probe.run(asked, wanted | {"registries": names}, root)
        return
    if asks_node:
        yield Check(
            "probe", passed=True, found="not sent", advice="no job would start: see the problems above"
        )
    else:
        yield Check("nodes' Python", passed=True, found=f"{asked.python}, not asked", advice=UNASKED)
    yield from _paths(cluster, "" if asks_node else UNASKED)
    yield from machine.cached_models(wanted)
    for registry in names:
        yield machine.registry(registry)


def _packages(served: Sequence[Served]) -> Iterator[Check]:
    """Where the servers of recipes are, which the local launcher runs without a container."""
    for image in sorted({one.image for one in served if "==" in one.image}):
        name = image.split("==")[0]
        if (environments.FOLDER / name).is_dir():
            yield Check("server", passed=True, found=f"{image} in {environments.FOLDER.name}/{name}")
        elif (environments.ROOT / lock_path(image)).is_file():
            yield Check(
                "server",
                passed=True,
                found=f"{image} is made at its first use, which takes minutes and gigabytes",
            )
        else:
            advice = "name an environment of your own: run … --environment DIR"
            yield Check("server", passed=True, found=f"{image} has no lock here", advice=advice)


def _paths(cluster: Cluster, advice: str) -> Iterator[Check]:
    """Folders of the nodes that this side has under the same name; only a node knows its own, and may be asked."""
    for name in ("spool", "squash", "archives", "models"):
        folder = questions.on_node(getattr(cluster.paths, name))
        if folder:
            there = Path(folder).is_dir()
            seen = "is there on this side" if there else "is not on this side"
            yield Check(
                f"paths.{name}", passed=True, found=f"{folder} {seen}; nodes were not asked", advice=advice
            )


def can_run(name: str, cluster: Cluster) -> Check:
    """Whether a cluster can run from here, in one line."""
    if cluster.launcher == "slurm":
        wrong = [
            one
            for one in diagnosis.checks(cluster, cluster.slurm or Slurm(), file_of(name))
            if not one.passed
        ]
    else:
        wanted = questions.of_cluster(cluster) | {"folders": {"tmp": questions.TMP}}
        wrong = [one for one in ready.checks(wanted) if not one.passed]
    where = f"by Slurm, {cluster.devices.count} {cluster.devices.model} a node"
    if cluster.launcher == "local":
        where = f"on this machine, {cluster.devices.count} {cluster.devices.model}"
    found = (
        f"cannot run from here: {wrong[0].name}: {wrong[0].found}" if wrong else f"can run from here, {where}"
    )
    return note(f"cluster {name}", not wrong, found, f"./servematrix doctor {name} shows all of it")


def some_can_run(each: Sequence[Check]) -> Check:
    """At least one does; each says for itself why not."""
    able = sum(one.level == "ok" for one in each)
    found = f"{able} of {len(each)} can run from here"
    return check("clusters", able > 0, found, "write a file for this machine: docs/add-a-cluster.md")
