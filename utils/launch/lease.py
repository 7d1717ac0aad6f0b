"""A results folder, held by one launcher at a time; one that comes after a killed one goes on with that one's plan."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from utils.launch.interface import ANOTHER, holds_nothing
from utils.node import file_lock
from utils.node.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from utils.launch.interface import Order


@dataclass(frozen=True, slots=True)
class Claim:
    """The lock of a folder, and the order as it is run there."""

    order: Order
    lock: IO[str]

    def release(self) -> None:
        """Let another launcher take the folder."""
        self.lock.close()


def take(order: Order) -> Claim:
    """Hold an order's results folder. The jobs of a plan that was begun there stay as they are, for the scheduler knows them by name.

    Raises:
        HarnessError: OUT_IN_USE where another launcher is running, or where other points or runs are; USAGE where
            the folder cannot be written.
    """
    folder = order.out / "launch"
    if (order.out / "jobs").exists() and not folder.exists():
        raise HarnessError(Exit.OUT_IN_USE, f"{order.out} already holds a run; {ANOTHER}")
    if not folder.exists():
        holds_nothing(order.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise HarnessError(Exit.USAGE, f"{order.out}: {error.strerror}; give another --out") from error
    try:
        return Claim(_begun(order, folder, lock), lock)
    except BaseException:
        lock.close()
        raise


def _begun(order: Order, folder: Path, lock: IO[str]) -> Order:
    if not _lock(lock, order.out):
        raise HarnessError(
            Exit.OUT_IN_USE, f"another launcher is running on {order.out}; wait for it, or give another --out"
        )
    wanted = _wanted(order)
    before = _read(folder / "plan.json")
    if before is None:
        content = {**wanted, "plan": json.loads(order.plan.to_json())}
        write_whole(folder / "plan.json", json.dumps(content).encode())
        return order
    if not _same(before, wanted):
        raise HarnessError(Exit.OUT_IN_USE, f"{order.out} holds a run of other points; {ANOTHER}")
    return replace(order, plan=Plan.from_json(before["plan"]))


def unfinished(order: Order, below: Path) -> Path | None:
    """The newest folder of the same points and runs with a job that is not done, and with no launcher at work on it."""
    wanted = _wanted(order)
    for path in sorted(below.glob("*/launch/plan.json"), reverse=True):
        before = _read(path)
        if (
            before
            and _same(before, wanted)
            and not _finished(path.parent, before)
            and is_free(path.parent.parent)
        ):
            return path.parent.parent
    return None


def is_free(out: Path) -> bool:
    """Whether no launcher is running on a folder."""
    try:
        with (out / "launch" / "lock").open("r") as lock:
            return _lock(lock, out)
    except FileNotFoundError:
        return True


def _lock(file: IO[str], out: Path) -> bool:
    return file_lock.hold(file, out, "give an --out on a disk that has them", wait=False)


def _wanted(order: Order) -> dict[str, Any]:
    """What makes two runs the same, so that the second may go on with the first: not how long they were thought to take."""
    keys = {point.id: point.key for job in order.plan.jobs for point in job.points}
    bases = {point.id: point.key for job in order.plan.jobs if job.base for point in job.base.points}
    arms = sorted({"".join(arm[0] for arm in job.arms) for job in order.plan.jobs})
    return {"keys": keys, "bases": bases, "arms": arms}


def _same(before: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(before.get(name) == value for name, value in wanted.items())


def _read(path: Path) -> dict[str, Any] | None:
    """What was written here, if it can still be understood."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        Plan.from_json(content["plan"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, ValidationError):
        return None
    return content


def _finished(folder: Path, before: dict[str, Any]) -> bool:
    files = [folder / f"{job['id']}.json" for job in before["plan"]["jobs"]]
    return all(file.exists() and json.loads(file.read_bytes())["done"] for file in files)
