"""What a sweep's records say, made anew from their raw requests and the plan; a record that says otherwise counts for nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from matrix import cluster as clusters
from matrix.source import Folder
from utils.results.recompute import check
from utils.results.recompute.asked import Asked
from utils.results.recompute.left import opened
from utils.results.recompute.same import Difference
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matrix.plan import Job, Plan
    from utils.node.record import Record

FOUND = "found.json"
"""Beside a job's runs: what was found outside of the container, written by the batch script."""
MOST_FOUND = 2_000_000


def rechecked(taken: Mapping[Path, Record], plan: Plan) -> dict[Path, Record]:
    """Every record, accepted with its figures, or refused with the fields that say otherwise.

    Args:
        taken: folder -> record, each of which the plan asked for.
        plan: of the sweep.
    """
    jobs = {
        (point.id, arm): job for job in plan.jobs for arm in set(job.arms) for point in job.of(arm).points
    }
    shares = {name: _foreign_share(name) for name in {job.cluster for job in plan.jobs}}
    by_allocation: dict[str, list[Record]] = {}
    for folder, one in taken.items():
        if not any(check.place(one, folder)):  # a run could speak for another one
            by_allocation.setdefault(one.allocation, []).append(one)
    return {
        folder: _checked(one, folder, jobs[one.point, one.arm], shares, by_allocation.get(one.allocation, []))
        for folder, one in taken.items()
    }


def _checked(
    one: Record, folder: Path, job: Job, shares: Mapping[str, float], others: list[Record]
) -> Record:
    own = job.of(one.arm)
    point = next(point for point in own.points if point.id == one.point)
    first = next((o for o in others if (o.point, o.run_index) == (one.point, 0) and o is not one), None)
    agreed = first.load.requests if first and first.load else None
    asked = Asked(own, point, one.block, shares[job.cluster], paired=job.base is not None, agreed=agreed)
    try:
        found = check.look(one, folder, asked, others, _outside(folder.parent.parent / FOUND))
    except Exception as error:  # noqa: BLE001 - a guest wrote it: whatever breaks here is one missing point, never the end of the report
        why = f"{type(error).__name__}: {error}"
        found = check.Looked([Difference("record", "what cannot be checked", why)])
    return check.refused(one, found.differences) if found.differences else check.accepted(one, found.seen)


def _outside(path: Path) -> dict[str, Any]:
    """Empty where there is none, as of a launcher without a batch script."""
    try:
        with opened(path) as file:
            found = json.loads(file.read(MOST_FOUND))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}


def _foreign_share(cluster: str) -> float:
    return clusters.load(Folder(ROOT), cluster).limits.foreign_share
