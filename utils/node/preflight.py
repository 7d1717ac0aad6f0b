"""Whether the node is fit for a job, before time is spent on it. The standard library alone: it also runs outside containers."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

DISK_LEAST_BYTES = 200_000_000
"""Below this a run's logs and raw requests may not fit."""
SETTINGS = {
    "numa_balancing": "/proc/sys/kernel/numa_balancing",
    "transparent_hugepage": "/sys/kernel/mm/transparent_hugepage/enabled",
}
"""Of the kernel, by a record's name for them: 0 or 1 (or 2); always, madvise or never."""


@dataclass(frozen=True)  # no slots: nodes may have Python 3.9
class Check:
    """One question to the node and its answer."""

    name: str
    passed: bool
    """A job may run; `doctor` calls the opposite a problem."""
    found: str
    """In one line."""
    advice: str = ""
    """What to do about it. On a check that passed it is a note: nothing is refused, and a person should know."""
    of_node: bool = True
    """Another node may have another answer."""

    @property
    def cause(self) -> str:
        """What was found, and what to do, in one line."""
        return f"{self.found}; {self.advice}" if self.advice else self.found

    @property
    def level(self) -> str:
        """`ok`, `note` or `problem`."""
        return ("note" if self.advice else "ok") if self.passed else "problem"


def check(name: str, good: bool, found: str, advice: str, *, of_node: bool = True) -> Check:  # noqa: FBT001 - the answer itself
    """A check whose advice is for the case that it fails."""
    return Check(name, good, found, "" if good else advice, of_node)


def note(name: str, good: bool, found: str, advice: str) -> Check:  # noqa: FBT001 - the answer itself
    """A check that refuses no node; where it is not good, its advice makes it a note."""
    return Check(name, passed=True, found=found, advice="" if good else advice)


def scratch(folder: Path) -> Check:
    """Room where server and client have their caches and sockets."""
    found = disk(folder)
    return Check(
        "scratch",
        found.passed,
        found.found,
        found.advice and "free some, or set TMPDIR to a folder with room",
    )


def disk(folder: Path, least: int = DISK_LEAST_BYTES) -> Check:
    """Room where results go."""
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.2f} GB free under {folder}"
    if free >= least:
        return Check("disk", passed=True, found=found)
    wanted = f"{found}, {least / 1e9:.2f} GB are wanted"
    return Check("disk", passed=False, found=wanted, advice="free some, or give another --out")


def model(path: str) -> Check:
    """A model that is a folder has its config."""
    there = not path.startswith("/") or (Path(path) / "config.json").is_file()
    found = path if there else f"no config.json in {path}"
    return check("model", there, found, "the recipe's `model` names a folder that this node lacks")


def port(number: int) -> Check:
    """Nobody listens where the server will."""
    if number == 0:
        return Check("port", passed=True, found="a free one is taken")
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", number)) == 0
    found = f"port {number} is taken by another process" if taken else f"port {number} is free"
    return check("port", not taken, found, "end it, or set `port: 0` in the cluster file")


def program(command: str) -> Check:
    """The server's command can be executed."""
    there = shutil.which(command) is not None
    found = command if there else f"{command} cannot be executed"
    return check("program", there, found, f"the environment or the image lacks {Path(command).name}")


def cores(wanted_for_client: int) -> Check:
    """There are cores for both sides."""
    have = len(os.sched_getaffinity(0))
    fits = wanted_for_client < have or wanted_for_client == 0
    found = f"{have} cores, of which the client takes {wanted_for_client}"
    return check("cores", fits, found, "lower client_cores in the cluster file")


def split_cores(wanted_for_client: int) -> tuple[list[int], list[int]]:
    """The server's cores and the client's, the last ones; the same for both if the client takes none of its own."""
    have = sorted(os.sched_getaffinity(0))
    if wanted_for_client == 0:
        return have, have
    return have[:-wanted_for_client], have[-wanted_for_client:]


def machine() -> dict[str, object]:
    """What the machine is, what the standard library says of it."""
    facts: dict[str, object] = {
        "hostname": platform.node(),
        "os_release": platform.release(),
        "cores": os.cpu_count() or 0,
    }
    facts["cpu_model"] = _first("/proc/cpuinfo", "model name") or platform.machine()
    facts["memory_bytes"] = int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) * 1024
    for name, path in SETTINGS.items():
        if text := _setting(path):
            facts[name] = text
    return facts


def _setting(path: str) -> str:
    """A kernel setting; of several words the one in brackets."""
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return ""
    return text.partition("[")[2].partition("]")[0] or text


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
