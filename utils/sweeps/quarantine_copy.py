"""A copy of each cluster's quarantine for the dashboard: a night leaves it beside its results, and it goes to the data branch.

Nothing reads it but the page: launchers go by the file of their own login node.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, RootModel, StringConstraints, ValidationError

from matrix.errors import Exit, HarnessError
from matrix.schema import Value
from utils.node.files import write_whole
from utils.results.recompute.left import opened
from utils.show.log import clean

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import Plan
    from utils.launch.quarantine import Quarantine

FILE = "quarantine.json"
MOST = 200_000
"""Bytes of a copy."""
MOST_NODES = 200
MOST_CAUSE = 200

Moment = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]


class Out(Value):
    """A node that is out of use; the lines of logs that showed it stay where they are."""

    node: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    cause: Annotated[str, StringConstraints(max_length=MOST_CAUSE)]
    until_unix_s: Moment


class Seen(Value):
    """A cluster's quarantine as a night saw it."""

    at_unix_s: Moment
    nodes: Annotated[list[Out], Field(max_length=MOST_NODES)]


class Copies(RootModel[dict[str, Seen]]):
    """Cluster -> what was seen there."""


def leave(quarantine: Quarantine, cluster: str, out: Path) -> None:
    """Beside a job's results, what its cluster's quarantine is now.

    Raises:
        HarnessError: RECORD_UNREADABLE where the quarantine was damaged.
        OSError: it cannot be written.
    """
    nodes = [
        Out(node=one.node, cause=clean(one.cause)[:MOST_CAUSE], until_unix_s=one.until_unix_s)
        for one in quarantine.entries()[:MOST_NODES]
    ]
    _write(Copies({cluster: Seen(at_unix_s=time.time(), nodes=nodes)}), out)


def gather(results: Path, plan: Plan, out: Path) -> list[str]:
    """The newest copy of each cluster of the plan, from what its jobs left; what could not be read is said.

    Args:
        results: a folder a job and attempt.
        plan: whose clusters count, whatever a file says.
        out: gets the file, if there is a copy.
    """
    clusters, found, notes = {job.cluster for job in plan.jobs}, dict[str, Seen](), list[str]()
    now = time.time()
    for left in sorted(results.glob(f"results-*/{FILE}")):
        try:
            copies = _read(left)
        except (OSError, ValueError, RecursionError) as error:
            notes.append(
                f"{left.parent.name}: its copy of the quarantine is left out: {type(error).__name__}"
            )
            continue
        for name, one in copies.root.items():
            if name in clusters:  # no clock ahead of ours stays the newest for ever
                found = _newest(found, {name: one.model_copy(update={"at_unix_s": min(one.at_unix_s, now)})})
    if found:
        _write(Copies(found), out)
    return notes


def keep(report: Path, folder: Path) -> bool:
    """Put copies of a report into a checkout of the data branch, each in the place of an older one; whether there were any.

    Raises:
        HarnessError: ARTIFACT_INVALID where the report's file is no copy.
    """
    if not (report / FILE).exists():
        return False
    try:
        new = _read(report / FILE).root
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessError(
            Exit.ARTIFACT_INVALID,
            f"the copy of the quarantine cannot be read ({type(error).__name__}); run the job judge again",
        ) from error
    _write(Copies(_newest(known(folder) or {}, new)), folder)
    return True


def known(folder: Path) -> dict[str, Seen] | None:
    """What the data branch has; None where it has no copy, or none that can be read."""
    try:
        return _read(folder / FILE).root
    except (OSError, ValueError, RecursionError):
        return None


def shown(copies: dict[str, Seen], now: float) -> tuple[list[list[str]], str]:
    """Rows of nodes that are still out, and since when that is known."""
    rows = [
        [one.node, day(one.until_unix_s), one.cause]
        for seen in copies.values()
        for one in seen.nodes
        if one.until_unix_s > now
    ]
    when = ", ".join(f"{name} on {day(seen.at_unix_s)}" for name, seen in sorted(copies.items()))
    return sorted(rows), f"As the last night saw it: {when}."


def day(moment: float) -> str:
    """A moment, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _newest(old: dict[str, Seen], new: dict[str, Seen]) -> dict[str, Seen]:
    later = {
        name: one for name, one in new.items() if name not in old or one.at_unix_s >= old[name].at_unix_s
    }
    return old | later


def _read(path: Path) -> Copies:
    with opened(path) as file:
        content = file.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError(f"{path.name}: larger than {MOST:,} bytes")
    try:
        return Copies.model_validate(json.loads(content))
    except ValidationError as error:
        raise ValueError(f"{path.name}: not a copy of a quarantine") from error


def _write(copies: Copies, folder: Path) -> None:
    if (folder / FILE).is_symlink():
        (folder / FILE).unlink()
    write_whole(folder / FILE, (copies.model_dump_json(indent=1) + "\n").encode())
