"""What this side sees of a cluster's partitions and nodes: sinfo with explicit formats, which Slurm 22.05 to 26.05 share.

Words of states are compared with lists. One that is in none of them is reported, and never taken for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from time import monotonic

from matrix.errors import nearest
from utils.launch.slurm import client, node_states
from utils.launch.slurm.client import SlurmError

PARTITION = "%R|%a|%l|%D"
NODE = "%N|%T|%c|%m|%R|%G|%E"
"""Name, state, processors, memory (MB), partition, generic resources, reason; the reason last, as it may have a bar in it."""
SHOWN = 6
"""Nodes that a sentence names."""
_DAY_S = 86400


@dataclass(frozen=True, slots=True)
class PartitionSeen:
    """A partition as sinfo shows it."""

    name: str
    available: str
    """`up`, or why no job starts there: down, drain, inact."""
    limit: str
    """The longest job: minutes, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, with DAYS- in front, or infinite."""
    nodes: int

    @property
    def limit_s(self) -> float | None:
        """In seconds; infinite is infinity; None for a word that is none of these."""
        return seconds(self.limit)


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node of a partition as sinfo shows it."""

    name: str
    state: str
    cpus: int
    memory_mb: int
    partition: str
    gres: str
    reason: str

    @property
    def takes(self) -> bool | None:
        """Whether jobs start there; None for a word or mark that is in no list."""
        return node_states.takes(self.state)

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason not in {"", "none"} else ""
        return f"{self.name} {self.state}{why}"


def seconds(text: str) -> float | None:
    """A time limit as Slurm writes it, in seconds; None where it is another word."""
    if text in {"infinite", "UNLIMITED"}:
        return float("inf")
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        return None
    days, parts = match[1], [int(part) for part in match.groups()[1:] if part]
    if days or len(parts) == 3:  # noqa: PLR2004 - hours, minutes and seconds
        hours, minutes, rest = (*parts, 0, 0)[:3]
    else:
        hours, minutes, rest = 0, *(*parts, 0)[:2]
    return float(int(days or 0) * _DAY_S + hours * 3600 + minutes * 60 + rest)


def gres_count(text: str, wanted: str) -> int | None:
    """How many of one wanted resource (`gpu:8`, `gpu:mi300x:8`) a node has; None where its entry has another shape.

    A node's text is such as `gpu:mi300x:8(S:0-1),nic:2` or `(null)`.
    """
    name, kind, _ = gres_asked(wanted)
    total = 0
    for entry in re.sub(r"\([^)]*\)", "", text).split(","):
        parts = entry.strip().removeprefix("gres/").split(":")
        if parts[0] != name:
            continue
        if not parts[-1].isdecimal() and len(parts) > 2:  # noqa: PLR2004 - name, type, count
            return None
        count = int(parts[-1]) if parts[-1].isdecimal() else 1
        of = next((part for part in parts[1:] if not part.isdecimal()), "")
        total += count if kind in {"", of} else 0
    return total


def gres_asked(wanted: str) -> tuple[str, str, int]:
    """Name, type (may be empty) and count of one of those that `slurm.gres` names."""
    parts = wanted.removeprefix("gres/").split(":")
    kind = next((part for part in parts[1:] if not part.isdecimal()), "")
    return parts[0], kind, int(parts[-1]) if parts[-1].isdecimal() else 1


def partitions(text: str) -> list[PartitionSeen]:
    """Rows of `sinfo --format=PARTITION`; a partition may have several, of which the first is as good as any."""
    found: dict[str, PartitionSeen] = {}
    for line in text.splitlines():
        fields = [one.strip() for one in line.split("|")]
        if len(fields) == PARTITION.count("|") + 1 and fields[3].isdecimal():
            before = found.get(fields[0])
            count = int(fields[3]) + (before.nodes if before else 0)
            found[fields[0]] = PartitionSeen(fields[0], fields[1], fields[2], count)
    return list(found.values())


def nodes(text: str) -> list[NodeSeen]:
    """Rows of `sinfo --Node --format=NODE`, one a node and partition."""
    found = []
    for line in text.splitlines():
        fields = [one.strip() for one in line.split("|", NODE.count("|"))]
        if len(fields) == NODE.count("|") + 1:
            cpus, memory = (int(re.sub(r"\D", "", one) or 0) for one in fields[2:4])
            found.append(NodeSeen(fields[0], fields[1], cpus, memory, *fields[4:]))
    return found


def ask_partitions() -> list[PartitionSeen]:
    """All of them, also hidden ones.

    Raises:
        SlurmError: where the controller does not answer.
    """
    return partitions(client.call(["sinfo", "--noheader", "--all", f"--format={PARTITION}"]))


def ask_nodes() -> list[NodeSeen]:
    """Every node of every partition.

    Raises:
        SlurmError: where the controller does not answer.
    """
    return nodes(client.call(["sinfo", "--noheader", "--all", "--Node", f"--format={NODE}"]))


def asked_for(partition: str) -> list[str]:
    """The names in `slurm.partition`: with commas between them a job takes whichever can start it first."""
    return [one for one in partition.split(",") if one]


def gone(name: str, there: list[PartitionSeen], file: str) -> str:
    """Why a partition cannot be asked for; empty where it is there, or none is named."""
    names = [one.name for one in there]
    missing = next((one for one in asked_for(name) if one not in names), None)
    if missing is None:
        return ""
    hint = nearest(missing, names)
    known = f"Slurm has {', '.join(names) or 'none'}" + (f"; {hint}" if hint else "")
    return f"there is no partition {missing} (slurm.partition of {file}): {known}"


def closed(name: str, there: list[PartitionSeen], those: list[NodeSeen]) -> str:
    """Why no job starts in partitions that are there; empty where one can."""
    names = asked_for(name)
    mine = {one.name: one for one in there if one.name in names}
    up = [one for one in names if one not in mine or mine[one].available == "up"]
    if mine and not up:
        several = f"partitions {', '.join(names)} are" if len(names) > 1 else f"partition {name} is"
        return f"{several} {mine[names[0]].available}: no job starts there"
    of = [one for one in those if not name or one.partition in up]
    of = list({one.name: one for one in of}.values())
    if any(one.takes for one in of):
        return ""
    more = f", and {len(of) - SHOWN} more" if len(of) > SHOWN else ""
    what = f"partition {', '.join(up)}" if name else "the cluster"
    return f"no node of {what} is up: {', '.join(map(str, of[:SHOWN])) or 'it has none'}{more}"


@dataclass(slots=True)
class Partition:
    """The partition of a run's jobs, asked about while one of them waits: by all of them together, once in a while."""

    name: str
    file: str
    """The cluster file, for sentences."""
    every_s: float = 60.0
    asked_s: float | None = None
    """Monotonic."""
    said: str = field(default="")

    def missing(self) -> str:
        """Whether the partition was renamed or removed, in a sentence; empty where it is there, or nobody knows."""
        try:
            return gone(self.name, ask_partitions(), self.file)
        except SlurmError:
            return ""

    def shut(self) -> str:
        """Why no job can start now, in a sentence; empty where one can. The last answer holds while Slurm gives none."""
        now = monotonic()
        if self.asked_s is None or now - self.asked_s >= self.every_s:
            self.asked_s = now
            try:
                there = ask_partitions()
                self.said = gone(self.name, there, self.file) or closed(self.name, there, ask_nodes())
            except SlurmError:
                pass
        return self.said
