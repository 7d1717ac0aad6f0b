"""What Slurm says about jobs, in values. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matrix.schema import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = (
    ("JobID", 20),
    ("State", 20),
    ("exit_code", 12),
    ("RestartCnt", 12),
    ("NodeList", 80),
    ("Reason", 80),
    ("Name", 300),
)
"""Of `squeue --Format`: a name and a width, cut off beyond it (squeue(1))."""
FORMAT = ",".join(f"{name}:{width}" for name, width in COLUMNS)
WAITING = frozenset(
    {
        *(
            "PENDING",
            "CONFIGURING",
            "REQUEUED",
            "REQUEUE_HOLD",
            "REQUEUE_FED",
            "SPECIAL_EXIT",
            "RESV_DEL_HOLD",
        ),
        "POWER_UP_NODE",  # since 23.02
    }
)
ACTIVE = frozenset(
    {
        *("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "UPDATE_DB"),
        "EXPEDITING",  # since 25.11
    }
)
_BY = re.compile(r"CANCELLED by (\d{1,10})")
"""As `sacct` has it."""
ENDED = frozenset(
    {
        *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "PREEMPTED"),
        *("NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL", "REVOKED"),
    }
)
"""Slurm 22.05 to 26.05 (slurm.h, squeue(1)). A state that is in none of these is no end: the job is waited for, and a person reads of it."""


class JobState(Value):
    """One job as the controller, or the accounting, knows it."""

    id: int
    name: str
    state: str
    reason: str
    exit_code: str
    """`code:signal`, as sacct and scontrol have it."""
    node: str
    restarts: int
    by: str = ""
    """The user id of who cancelled it, which only the accounting says."""

    @property
    def waiting(self) -> bool:
        """It has no node yet, or has lost it and waits for another."""
        return self.state in WAITING

    @property
    def over(self) -> bool:
        """It will not run any more."""
        return self.state in ENDED

    @property
    def unknown(self) -> bool:
        """Slurm has a word for it that this code does not know."""
        return self.state not in WAITING | ACTIVE | ENDED


def from_squeue(text: str, *, of: str = "") -> list[JobState]:
    """Rows of `squeue --Format=FORMAT` whose job's name begins with `of`; lines that do not begin with a number are no rows."""
    found = []
    for line in text.splitlines():
        cells, start = {}, 0
        for name, width in COLUMNS:
            cells[name] = line[start : start + width].strip()
            start += width
        if cells["JobID"].isdecimal() and cells["Name"].startswith(of):
            found.append(_state(cells["JobID"], cells))
    return found


def from_sacct(text: str) -> list[JobState]:
    """Rows of `sacct --parsable2 --allocations --format=JobID,State,ExitCode,NodeList,JobName`, the newest of a job last; with `--duplicates` one for each of its starts."""
    found = []
    for line in text.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5 and fields[0].isdecimal():  # noqa: PLR2004 - five fields; the first row names them
            names = ("JobID", "State", "exit_code", "NodeList", "Name")
            found.append(_state(fields[0], dict(zip(names, fields, strict=True))))
    return found


def _state(number: str, cells: dict[str, str]) -> JobState:
    restarts = cells.get("RestartCnt", "0")
    nodes = cells["NodeList"]
    return JobState(
        id=int(number),
        name=cells["Name"],
        state=cells["State"].split()[0].rstrip("+") if cells["State"] else "",  # `CANCELLED by 1000` in sacct
        reason=cells.get("Reason", ""),
        exit_code=_exit_code(cells["exit_code"]),
        node="" if nodes in {"", "None", "(null)", "None assigned"} else nodes,
        restarts=int(restarts) if restarts.isdecimal() else 0,
        by=by[1] if (by := _BY.fullmatch(cells["State"])) else "",
    )


def _exit_code(text: str) -> str:
    """Squeue tells the wait status, such as 768 for 3:0."""
    return f"{int(text) >> 8}:{int(text) & 127}" if text.isdecimal() else text


def by_name(states: Iterable[JobState], name: str) -> list[JobState]:
    """Jobs of a name, the first submitted first."""
    return sorted((one for one in states if one.name == name), key=lambda one: one.id)
