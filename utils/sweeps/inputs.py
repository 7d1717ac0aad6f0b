"""What a sweep's workflow was started with, and what it hands from job to job: the plan as a file, its jobs as a matrix."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.plan import GITHUB_JOB_LIMIT, Plan
from matrix.source import Folder
from utils.github.trigger import output
from utils.node.files import write_whole
from utils.setup.environments import ROOT
from utils.sweeps import plan_artifact

if TYPE_CHECKING:
    from pathlib import Path

    from utils.github.trigger import Event


def asked_of(event: Event) -> tuple[int, str]:
    """The pull request, 0 for none, and the commit that the workflow was started for."""
    inputs = event.payload.get("inputs") or {}
    number, sha = str(inputs.get("pull", "")), str(inputs.get("sha", ""))
    if not number.isdecimal() or not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise HarnessError(
            Exit.USAGE,
            "sweep.yml needs the inputs `pull`, a number, and `sha`, 40 hex digits; /sweep run in a pull request gives both",
        )
    return int(number), sha


def hand_on(plan: Plan, out: Path) -> None:
    """The plan as a file, and its jobs as a matrix."""
    if len(plan.jobs) > GITHUB_JOB_LIMIT:
        raise HarnessError(
            Exit.USAGE,
            f"{len(plan.jobs)} jobs are more than the {GITHUB_JOB_LIMIT} of a matrix; select fewer points",
        )
    write_whole(out / plan_artifact.FILE, plan.to_json().encode())
    source = Folder(ROOT)
    runners = {name: clusters.load(source, name).runner for name in {job.cluster for job in plan.jobs}}
    matrix = [{"id": job.id, "runner": runners[job.cluster]} for job in plan.jobs]
    output(count=str(len(plan.jobs)), jobs=json.dumps(matrix, separators=(",", ":")))


def read_plan(folder: Path) -> Plan:
    """The plan that another job of the sweep handed on."""
    return Plan.from_json(json.loads((folder / plan_artifact.FILE).read_bytes()))


def where_sweeps_may_run(plan: Plan) -> tuple[Plan, str]:
    """The plan without jobs of clusters on which code of others would run outside of a container; what is left out, in words.

    Cluster files are the harness's own: `sweeps: true` in one of them is the default branch's word.
    """
    source = Folder(ROOT)
    taken = {name: clusters.load(source, name).takes_sweeps for name in {job.cluster for job in plan.jobs}}
    jobs = [job for job in plan.jobs if taken[job.cluster]]
    out = [job for job in plan.jobs if not taken[job.cluster]]
    if not out:
        return plan, ""
    names = ", ".join(sorted({job.cluster for job in out}))
    update = {
        "jobs": jobs,
        "points": sum(len(job.points) for job in jobs),
        "server_starts": sum(len(job.arms) for job in jobs),
    }
    text = f"{len(out)} jobs are left out: {names} runs servers outside of containers, and so takes no sweeps.\n\n"
    return plan.model_copy(update=update), text
