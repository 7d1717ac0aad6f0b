"""`servematrix github sweep-…`: the parts of a sweep, one for each job of the workflow."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.plan import GITHUB_JOB_LIMIT, Plan
from matrix.source import Folder, commit_of, merge_base
from utils import baseline, confirming, show, sweep_records
from utils.commands import asking, launch, order_for, the_launcher, the_plan, timed
from utils.github import plan_comment, plans, pulls, queue
from utils.github.event import Event, from_environment, output, summary
from utils.github.report import Report
from utils.github_commands import asked_for
from utils.launch import turn
from utils.launch.slurm.poll import state_folder
from utils.log import clean
from utils.markdown import escape
from utils.node.record import write_whole
from utils.results import changelog, changelog_edit, compare, ledger, pairs, verdict_show
from utils.setup.environments import ROOT
from utils.verdict_commands import with_claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.plan import Job
    from utils.node.record import Record
    from utils.results.comparison import Comparison

REPORT = "report.json"
MOST_WHY = 1000
"""Characters of an error that are handed on."""


def sweep_plan(arguments: Namespace) -> Exit:
    """Plan a commit that is the head, that is open, and that a person approved; of no pull request, one of the default branch."""
    event = from_environment()
    number, sha = asked_of(event)
    head = Path(arguments.tree).resolve()
    try:
        if number == 0:
            _refuse_other_branches(event, head, sha)
            made = baseline.plan(head)
        else:
            made = _of_pull(event, number, sha, head)
        found, kept_out = _where_sweeps_may_run(made)
        _hand_on(found, Path(arguments.out))
    except HarnessError as error:
        output(why=clean(str(error)).replace("\n", "; ")[:MOST_WHY])  # the publishing job tells it
        raise
    summary(kept_out + "".join(plan_comment.parts(found, sha)))
    return Exit.OK


def _where_sweeps_may_run(plan: Plan) -> tuple[Plan, str]:
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


def sweep_turn(arguments: Namespace) -> Exit:
    """Wait until no older sweep is at work on its clusters; the queue stands in the job's log, and on the run's page."""
    event = from_environment()
    queue.wait(event.api, int(event.run), _read_plan(arguments.plan), _tell)
    return Exit.OK


def _tell(text: str) -> None:
    """A line of the job's log, and of the run's page."""
    line = f"{datetime.now(UTC):%H:%M} UTC: {text}\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    summary(f"{line}\n")


def _of_pull(event: Event, number: int, sha: str, head: Path) -> Plan:
    pull = pulls.get(event.api, number)
    if not pull.is_open or pull.head != sha:
        raise HarnessError(Exit.REFUSED, f"{sha[:10]} is not the head of an open pull request {number}")
    if not pulls.is_approved(event.api, sha):
        raise HarnessError(
            Exit.REFUSED,
            f"nobody approved {sha[:10]}: a person with write access comments /sweep run {sha}",
        )
    inputs = event.payload["inputs"]
    selectors = str(inputs.get("selectors") or "").split()
    return asked_for(head, merge_base(head, pull.base, sha), sha, selectors, inputs)


def _refuse_other_branches(event: Event, head: Path, sha: str) -> None:
    branch = str(event.at("repository", "default_branch"))
    if merge_base(head, f"refs/remotes/origin/{branch}", sha) != sha:
        raise HarnessError(
            Exit.REFUSED, f"{sha[:10]} is not on {branch}; a sweep without a pull request is of that alone"
        )


def asked_of(event: Event) -> tuple[int, str]:
    """The pull request, 0 for none, and the commit that the workflow was started for."""
    inputs = event.payload.get("inputs") or {}
    number, sha = str(inputs.get("pull", "")), str(inputs.get("sha", ""))
    if not number.isdecimal() or not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise HarnessError(Exit.USAGE, "a sweep wants `pull`, a number, and `sha`, 40 hex digits")
    return int(number), sha


def _hand_on(plan: Plan, out: Path) -> None:
    """The plan as a file, and its jobs as a matrix."""
    if len(plan.jobs) > GITHUB_JOB_LIMIT:
        raise HarnessError(
            Exit.USAGE,
            f"{len(plan.jobs)} jobs are more than the {GITHUB_JOB_LIMIT} of a matrix; select fewer points",
        )
    write_whole(out / plans.FILE, plan.to_json().encode())
    source = Folder(ROOT)
    runners = {name: clusters.load(source, name).runner for name in {job.cluster for job in plan.jobs}}
    matrix = [{"id": job.id, "runner": runners[job.cluster]} for job in plan.jobs]
    output(count=str(len(plan.jobs)), jobs=json.dumps(matrix, separators=(",", ":")))


def _read_plan(folder: str) -> Plan:
    return Plan.from_json(json.loads((Path(folder) / plans.FILE).read_bytes()))


def sweep_run(arguments: Namespace) -> Exit:
    """Measure one job of the plan, while no other sweep is at work on its cluster.

    A gate that failed is a result; only what broke makes this fail, so that it can be run again.
    """
    plan = _read_plan(arguments.plan)
    jobs = [job for job in plan.jobs if job.id == arguments.job]
    if not jobs:
        raise HarnessError(Exit.USAGE, f"the plan has no job {arguments.job!r}")
    made = plan.model_copy(update={"jobs": jobs})
    asked = Namespace(
        tree=arguments.tree, launcher=None, out=arguments.out, environment=arguments.environment
    )
    order, wanted = order_for(asked, made)
    sweep = f"run {from_environment().run}"
    with turn.held(state_folder(), jobs[0].cluster, sweep, _tell):
        code = launch(the_launcher(wanted), order)
    return Exit.OK if code is Exit.GATE_FAILED else code


def sweep_judge(arguments: Namespace) -> Exit:
    """Judge what came back: what is to be confirmed goes on as a matrix; with `--final` everything goes into a report."""
    event = from_environment()
    inputs = event.payload["inputs"]
    folder, out = Path(arguments.results), Path(arguments.out)
    plan, notes = _read_plan(arguments.plan), list[str]()
    left = sweep_records.taken(folder, plan, notes, event.run, str(inputs["sha"]))
    records = list(left.values())
    known = ledger.read(Path(arguments.ledger)) if arguments.ledger else ledger.Ledger()
    found = _compared(records, known, Path(arguments.tree), notes)
    if not arguments.final:
        flagged = found.flagged if found else []
        asked = Namespace(tree=arguments.tree, budget=None, history=[str(folder)], launcher=None)
        _hand_on(timed(asked, confirming.again(plan, flagged)), out)
        return Exit.OK
    report = Report(
        sha=str(inputs["sha"]),
        pull=int(inputs["pull"]),
        comparison=found,
        alone=[_line(one) for one in records if one.arm == "head" and not _has_base(one, records)],
        missing=sweep_records.missing(plan, records, folder),
        changelog="",
        notes=notes,
    )
    report = _with_changelog(report, records, found, Path(arguments.tree), event.run_url)
    write_whole(out / REPORT, report.model_dump_json().encode())
    for place, one in left.items():
        sweep_records.keep(one, place, out / "records")
    if found:
        summary(verdict_show.markdown(found))
    return Exit.OK


def nightly_plan(arguments: Namespace) -> Exit:
    """This checkout against itself: one job of each recipe, another one each night."""
    commit = commit_of(ROOT, "HEAD")
    asked = asking(pair=commit)
    made = the_plan(asked)
    night = int(datetime.now(UTC).timestamp() // 86400)
    by_recipe: dict[str, list[Job]] = {}
    for job in made.jobs:
        by_recipe.setdefault(job.points[0].recipe, []).append(job)
    jobs = [of_one[night % len(of_one)] for of_one in by_recipe.values()]
    some = made.model_copy(update={"jobs": jobs, "points": sum(len(job.points) for job in jobs)})
    found, _ = _where_sweeps_may_run(timed(asked, some))
    _hand_on(found, Path(arguments.out))
    summary("".join(plan_comment.parts(found, commit)))
    return Exit.OK


def nightly_keep(arguments: Namespace) -> Exit:
    """Records that can be read, in the places of the data branch."""
    folder, out = Path(arguments.results), Path(arguments.out)
    event, notes = from_environment(), list[str]()
    plan = _read_plan(arguments.plan)
    commit = plan.pair.commit if plan.pair else ""
    for place, one in sweep_records.taken(folder, plan, notes, event.run, commit).items():
        sweep_records.keep(one, place, out / "records")
    summary("".join(f"{escape(note)}\n" for note in notes))
    return Exit.OK


def _compared(
    records: Sequence[Record], known: ledger.Ledger, tree: Path, notes: list[str]
) -> Comparison | None:
    if {one.arm for one in records} != {"base", "head"}:
        return None
    base, head = pairs.arms(records)
    try:
        return with_claims(compare.compare(base, head, known), head, tree)
    except HarnessError as error:
        notes.append(f"no verdict: {error}"[:500])
        return None


def _has_base(one: Record, records: Sequence[Record]) -> bool:
    return any(other.arm == "base" and other.point == one.point for other in records)


def _line(one: Record) -> str:
    cells = show.result_row(one)
    return f"{cells[0]}: {cells[2]}, {cells[3]} tok/s/device, TTFT {cells[4]} ms, TPOT {cells[5]} ms"


def committed_changelog(tree: Path) -> bytes:
    """A checkout's changelog; one that is a link, or leads elsewhere, is refused."""
    path = tree / changelog.FILE
    return Folder(tree).read(changelog.FILE) if path.is_symlink() or path.exists() else b""


def _with_changelog(
    report: Report, records: Sequence[Record], found: Comparison | None, tree: Path, run_url: str
) -> Report:
    """The report with the pull request's changelog filled, a recipe at a time; where there is no stub, a note says so."""
    text = committed_changelog(tree)
    notes = list(report.notes)
    for recipe in sorted({one.point.split("/")[0] for one in records}):
        head, base = (
            [one for one in records if one.arm == arm and one.point.startswith(f"{recipe}/")]
            for arm in ("head", "base")
        )
        stub = (
            changelog_edit.Stub(report.pull, "", ())
            if report.pull
            else baseline.stub(text, recipe, report.sha)
        )
        try:
            text = changelog_edit.add(
                text, changelog.FILE, head, base, stub, found=found, runs=[run_url]
            ).encode()
        except HarnessError as error:
            notes.append(f"no entry of {recipe}: {error}"[:500])
    return report.model_copy(update={"changelog": text.decode(), "notes": notes})
