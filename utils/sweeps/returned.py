"""What the runs of a sweep left: taken as its plan asked for it, missed where it is not there, kept for the data branch."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from utils.node import record, record_file
from utils.node.files import write_whole
from utils.results.collect import Missing
from utils.results.collect import missing as without_record
from utils.results.verdict import matching

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matrix.plan import Plan, Point
    from utils.node.record import Record

FIGURES = ("requests.json.gz", "itl.json.gz")
MOST_WHY = 500
MOST_RAW = 200_000
"""Bytes of a point's raw requests on the data branch; larger ones stay in the run's artifacts."""


def taken(folder: Path, plan: Plan, notes: list[str], run: str, sha: str) -> dict[Path, Record]:
    """What every job left, of each its newest attempt, where it is what the plan asked for.

    A record comes out of a container with foreign code in it. Which point, arm, run, key and commit it is of, and how it is judged,
    is the plan's word; its allocation gets a name of this run, so that no record can pass for another sweep's.
    """
    newest: dict[tuple[str, str], tuple[int, Path]] = {}
    for left in sorted(folder.glob("*")) if folder.is_dir() else ():
        if match := re.fullmatch(r"(results|confirm)-(\d+)-(.+)", left.name):
            which, attempt = (match[1], match[3]), int(match[2])
            if which not in newest or attempt > newest[which][0]:
                newest[which] = (attempt, left)
    wanted = _wanted(plan)
    found: dict[Path, Record] = {}
    for (kind, job), (attempt, left) in newest.items():
        for path in sorted(left.glob(f"jobs/*/run-*/*/{record.FILE}")):
            try:
                one = record_file.read(path)
            except HarnessError as error:
                notes.append(f"a record is left out: {error}"[:300])
                continue
            known = wanted.get((one.point, one.arm, one.run_index))
            block = 2 if kind == "confirm" else 1
            if known is None or (one.key, one.block) != (known.key, block):
                notes.append(f"a record of {one.point} is left out: the plan asked for no such thing"[:300])
                continue
            allocation = f"sweep-{run}-{attempt}-{job}"
            of_base = plan.pair.commit if plan.pair and one.arm == "base" else ""
            update = {
                "allocation": allocation,
                "rules": known.rules,
                "vary": known.vary,
                "provenance": one.provenance.model_copy(
                    update={"tree_commit": of_base or sha, "tree_clean": True}
                ),
            }
            found[path.parent] = one.model_copy(update=update)
    return found


def _wanted(plan: Plan) -> dict[tuple[str, str, int], Point]:
    """Point, arm and run -> what the plan says of it."""
    return {
        (point.id, arm, index): point
        for job in plan.jobs
        for index, arm in enumerate(job.arms)
        for point in job.of(arm).points
    }


def missing(plan: Plan, records: Sequence[Record], folder: Path) -> list[Missing]:
    """Points of the plan without a measured head, with what their job or their record says."""
    heads = [one for one in records if one.arm == "head"]
    measured = {one.point for one in heads if one.status == "measured"}
    said = {
        one.point: Missing(
            point=one.point, why=matching.reason(one), retry=bool(one.failure and one.failure.retry)
        )
        for one in records
        if one.status != "measured"
    }
    for launched in sorted(folder.glob("*")):
        said |= {left.point: left for left in without_record(launched, heads)}
    found = []
    for job in plan.jobs:
        for point in job.points:
            if point.id not in measured:
                known = said.get(point.id) or Missing(point=point.id, why="its job left nothing", retry=True)
                found.append(known.model_copy(update={"why": known.why[:MOST_WHY]}))
    return found


def keep(one: Record, left: Path, out: Path) -> None:
    """A record in its place on the data branch, with its raw requests if they are small and the record has figures of them."""
    recipe, short = one.point.split("/")
    place = out / recipe / one.allocation / f"run-{one.run_index}-{one.arm}" / short
    write_whole(place / record.FILE, (one.model_dump_json(indent=1) + "\n").encode())
    raw = [left / name for name in FIGURES]
    there = one.whole is not None and all(path.is_file() and not path.is_symlink() for path in raw)
    if there and sum(path.stat().st_size for path in raw) <= MOST_RAW:
        for path in raw:
            shutil.copyfile(path, place / path.name)
