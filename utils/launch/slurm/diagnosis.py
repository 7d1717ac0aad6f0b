"""What `doctor` asks Slurm about a cluster file, from this side: one check a question, cheapest first."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from matrix.slurm import section
from utils.launch.slurm import client, sight
from utils.launch.slurm.client import SlurmError
from utils.node.preflight import Check, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.cluster import Cluster
    from matrix.slurm.section import Slurm
    from utils.launch.slurm.sight import NodeSeen, PartitionSeen

COMMANDS = ("sbatch", "squeue", "srun", "scancel", "sinfo", "scontrol", "sbcast")
ASK_S = 20.0
"""A controller that is away makes clients try again for a while."""
SHORT = 200
"""Letters of a client's error that are shown."""


def commands() -> Check:
    """Slurm's clients are installed here."""
    missing = [name for name in COMMANDS if not shutil.which(name)]
    found = f"missing: {', '.join(missing)}" if missing else "all there"
    return check("Slurm's commands", not missing, found, "run it where Slurm's commands are installed")


def controller() -> Check:
    """`scontrol ping` names each controller, and says UP or DOWN of it."""
    try:
        said = client.call(["scontrol", "ping"], limit_s=ASK_S)
    except SlurmError as error:
        advice = "is its slurm.conf on this machine, and does its controller run?"
        return Check("controller", passed=False, found=short(error), advice=advice)
    words = re.findall(r"^\s*Slurmctld\((\w+)\).*? is (\w+)\s*$", said, re.MULTILINE)
    found = (
        ", ".join(f"{which} {word}" for which, word in words) or f"no known answer: {said.strip()[:SHORT]}"
    )
    up = any(word == "UP" for _, word in words)
    if not up:
        return Check(
            "controller", passed=False, found=found, advice="jobs cannot be submitted until one is UP"
        )
    advice = "" if all(word == "UP" for _, word in words) else "jobs run; tell the cluster's administrators"
    return Check("controller", passed=True, found=found, advice=advice)


def short(error: SlurmError) -> str:
    """A client's error in one line, without its own name on each."""
    lines = [re.sub(r"^[\w-]+: (error|fatal): ", "", line.strip()) for line in error.message.splitlines()]
    text = "; ".join(dict.fromkeys(line for line in lines if line))
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def checks(cluster: Cluster, asked: Slurm, file: str) -> Iterator[Check]:
    """Everything that Slurm can be asked without a job; nothing more once it does not answer.

    Args:
        cluster: the file.
        asked: its `slurm:`, or the defaults.
        file: its path, for sentences.
    """
    for one in (commands, controller):
        found = one()
        yield found
        if not found.passed:
            return
    try:
        there, nodes = sight.ask_partitions(), sight.ask_nodes()
    except SlurmError as error:
        yield Check("partition", passed=False, found=short(error), advice="sinfo by hand shows more")
        return
    if gone := sight.gone(asked.partition, there, file):
        yield Check("partition", passed=False, found=gone, advice="change slurm.partition")
        return
    names = sight.asked_for(asked.partition)
    mine = [one for one in nodes if not names or one.partition in names]
    mine = list({one.name: one for one in mine}.values())
    yield _partition(asked.partition, there)
    yield _nodes(asked.partition, there, nodes, mine)
    yield from _limit(cluster, asked.partition, there)
    yield from resources(cluster, asked, mine)
    yield _pyxis(cluster)


def _partition(name: str, there: list[PartitionSeen]) -> Check:
    if not name:
        names = ", ".join(one.name for one in there)
        return Check("partition", passed=True, found=f"Slurm's default one, of {names}")
    seen = [one for one in there if one.name in sight.asked_for(name)]
    found = "; ".join(f"{one.name} is {one.available}, {one.nodes} nodes" for one in seen)
    up = any(one.available == "up" for one in seen)
    return check("partition", up, found, "no job starts there: ask who closed it, or name another")


def _nodes(name: str, there: list[PartitionSeen], nodes: list[NodeSeen], mine: list[NodeSeen]) -> Check:
    """How many take jobs. None at all is a problem; some that do not, or whose word nobody knows, are a note."""
    if closed := sight.closed(name, there, nodes):
        return Check("nodes", passed=False, found=closed, advice="jobs would wait: see limits.stuck_s")
    rest = [one for one in mine if not one.takes]
    unknown = [one for one in rest if one.takes is None]
    found = f"{len(mine) - len(rest)} of {len(mine)} take jobs"
    if rest:
        found += f"; not {', '.join(map(str, rest[: sight.SHOWN]))}{' …' if len(rest) > sight.SHOWN else ''}"
    advice = "jobs go to the others" if rest else ""
    if unknown:
        advice = f"servematrix does not know the state {unknown[0].state!r}, and counts on no such node"
    return Check("nodes", passed=True, found=found, advice=advice)


def _limit(cluster: Cluster, name: str, there: list[PartitionSeen]) -> Iterator[Check]:
    wanted = cluster.limits.walltime_s
    mine = [one for one in there if one.name in sight.asked_for(name)]
    if odd := next((one for one in mine if one.limit_s is None), None):
        advice = "it is no time that servematrix knows; sbatch will say whether a job is too long"
        yield Check("time limit", passed=True, found=f"{odd.limit!r}", advice=advice)
    elif mine:
        longest = max(mine, key=lambda one: one.limit_s or 0.0)
        found = f"{longest.limit}, and limits.walltime_s is {wanted} s"
        advice = f"lower limits.walltime_s to {longest.limit_s:.0f}, or name another partition"
        yield check("time limit", (longest.limit_s or 0.0) >= wanted, found, advice)


def resources(cluster: Cluster, asked: Slurm, mine: list[NodeSeen]) -> Iterator[Check]:
    """Whether the nodes have what a job asks for."""
    if asked.gres:
        yield _gres(cluster, asked.gres, mine)
    elif cluster.devices.kind != "cpu":
        yield Check(
            "gres", passed=True, found="the cluster file asks for none", advice="slurm.gres reserves the GPUs"
        )
    most = max((one.cpus for one in mine), default=0)
    if asked.cpus_per_task:
        fit = sum(one.cpus >= asked.cpus_per_task for one in mine)
        found = (
            f"{fit} of {len(mine)} nodes have {asked.cpus_per_task} (slurm.cpus_per_task); the most is {most}"
        )
        yield check("cpus", fit > 0, found, "lower slurm.cpus_per_task")
    else:
        yield Check(
            "cpus", passed=True, found=f"{most} at most, and the cluster file asks for Slurm's default"
        )
    memory = sorted({one.memory_mb // 1000 for one in mine})
    shown = f"{memory[0]} to {memory[-1]} GB a node" if len(memory) > 1 else f"{(memory or [0])[0]} GB a node"
    yield Check("memory", passed=True, found=f"{shown}, as slurm.conf says")


def _gres(cluster: Cluster, gres: str, mine: list[NodeSeen]) -> Check:
    """Each of those that a job asks for, with commas between them; only GPUs are what `devices.count` counts."""
    each = gres.split(",")
    counts = {one.name: [sight.gres_count(one.gres, wanted) for wanted in each] for one in mine}
    least = [sight.gres_asked(wanted)[2] for wanted in each]
    fit = sum(
        all((count or 0) >= wanted for count, wanted in zip(found, least, strict=True))
        for found in counts.values()
    )
    shapes = ", ".join(sorted({one.gres for one in mine}))[:SHORT]
    if fit == 0:
        found = f"no node has {gres} (slurm.gres); nodes have {shapes or 'none'}"
        return Check("gres", passed=False, found=found, advice="ask for what nodes have")
    found = f"{fit} of {len(mine)} nodes have {gres}; nodes have {shapes}"
    wanted = section.gpus(gres)
    if cluster.devices.kind != "cpu" and wanted not in {None, cluster.devices.count}:
        advice = (
            f"slurm.gres asks for {wanted}, and devices.count is {cluster.devices.count}: make them equal"
        )
        return Check("gres", passed=False, found=found, advice=advice)
    odd = [name for name, found_there in counts.items() if None in found_there]
    advice = f"{', '.join(odd)} has a gres whose count servematrix cannot read" if odd else ""
    return Check("gres", passed=True, found=found, advice=advice)


def _pyxis(cluster: Cluster) -> Check:
    """Slurm's plugins add their options to `srun --help`. What counts is the nodes', which a probe sees."""
    if cluster.container.runtime != "pyxis":
        return Check("runtime", passed=True, found=cluster.container.runtime)
    try:
        knows = "--container-image" in client.call(["srun", "--help"], limit_s=ASK_S)
    except SlurmError as error:
        return Check("runtime", passed=True, found=short(error), advice="--probe looks on a node")
    try:
        version = client.call(["enroot", "version"], limit_s=ASK_S).strip()
        enroot = f"enroot {version}" if re.match(r"\d+\.\d+", version) else f"enroot says {version[:40]!r}"
    except SlurmError:
        enroot = "no enroot"
    found = f"here: {enroot}, {'pyxis' if knows else 'no pyxis (srun --help has no --container-image)'}"
    seen = knows and "no enroot" not in found and "says" not in found
    return Check(
        "runtime", passed=True, found=found, advice="" if seen else "nodes may have it: --probe looks on one"
    )
