"""What each command does, in terms of the parts: plan -> launch -> collect -> show."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix import estimate, select
from matrix.errors import Exit, HarnessError
from matrix.plan import GITHUB_JOB_LIMIT, Plan
from matrix.source import Folder, Revision, merge_base
from matrix.tree import Tree
from utils import basis, changes, log, show
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import Namespace

    from utils.launch.base import Launcher, Order


def asking(**given: object) -> Namespace:
    """What `plan` would be told on the command line, for a caller that has none: options that are not given are left out there."""
    nothing = dict.fromkeys(("tree", "changed", "pair", "runs", "budget", "history", "launcher"))
    return argparse.Namespace(**{**nothing, "selectors": [], **given})


def the_tree(arguments: Namespace) -> tuple[Path, Tree]:
    """The tree that `--tree` names, else this checkout."""
    root = Path(arguments.tree).resolve() if arguments.tree else ROOT
    if not (root / "recipes").is_dir():
        raise HarnessError(Exit.USAGE, f"{root} has no recipes/; --tree wants the root of a checkout")
    harness = Folder(ROOT)
    return root, Tree.of(Folder(root), harness if root != ROOT else None)


def the_plan(arguments: Namespace) -> Plan:
    """What the selectors, or a range of commits, ask for, with its base where one is named."""
    root, tree = the_tree(arguments)
    changed = getattr(arguments, "changed", None)
    runs, base = arguments.runs, None
    if arguments.pair:
        base = basis.base(arguments.pair, root, tree, arguments.selectors)
        if runs not in {None, 2, 4}:
            raise HarnessError(
                Exit.USAGE,
                f"--pair wants 2 or 4 --runs an arm, not {runs}: only B H H B, once or twice, is balanced against drift",
            )
    if changed is None:
        return select.chosen(tree, arguments.selectors, base, runs)
    base_name, _, head_name = changed.partition("...")
    if not base_name or ".." in base_name or ".." in head_name:
        raise HarnessError(
            Exit.USAGE, f"--changed wants BASE or BASE...HEAD, such as main...HEAD, not {changed!r}"
        )
    parted = merge_base(root, base_name, head_name or "HEAD")
    harness = Folder(ROOT) if root != ROOT else None
    before = Tree.of(Revision(root, parted), harness)
    head = Tree.of(Revision(root, head_name), harness) if head_name else tree
    found = select.changed(before, head, arguments.selectors, base, runs)
    return found.model_copy(
        update={"lines": changes.lines(root, parted, head_name), "reused": _reused(found, root)}
    )


def _reused(found: Plan, root: Path) -> dict[str, str]:
    from utils.results import changelog  # noqa: PLC0415 - only a range of commits asks

    path = root / changelog.FILE
    return changes.reused(found, changelog.read(path.read_bytes())) if path.exists() else {}


def timed(arguments: Namespace, made: Plan) -> Plan:
    """The plan with estimates, held against `--budget`."""
    from utils.results.durations import history  # noqa: PLC0415 - only plans ask

    if not made.jobs:
        return made
    given = getattr(arguments, "history", None)
    default = [ROOT / "results"] if (ROOT / "results").is_dir() else []
    known = history([Path(folder) for folder in given] if given else default)
    _, tree = the_tree(arguments)
    found = {name: clusters.load(tree.clusters, name) for name in {job.cluster for job in made.jobs}}
    launcher = getattr(arguments, "launcher", None)
    by_slurm = all((launcher or cluster.launcher) == "slurm" for cluster in found.values())
    result = estimate.timed(made, found, known, canary=by_slurm)
    estimate.hold_budget(result, arguments.budget)
    return result


def plan(arguments: Namespace) -> Exit:
    """Show what would run."""
    found = timed(arguments, the_plan(arguments))
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    if arguments.format == "json":
        sys.stdout.write(found.to_json() + "\n")
    elif arguments.format == "ids":
        sys.stdout.writelines(f"{point.id}\n" for job in found.jobs for point in job.points)
    elif arguments.format == "github":
        if len(found.jobs) > GITHUB_JOB_LIMIT:
            raise HarnessError(
                Exit.USAGE,
                f"{len(found.jobs)} jobs are more than the {GITHUB_JOB_LIMIT} that a matrix may have; select fewer points",
            )
        ids = [job.id for job in found.jobs]
        sys.stdout.write(f"count={len(ids)}\nmatrix={json.dumps({'job': ids}, separators=(',', ':'))}\n")
    else:
        show.table(sys.stdout, "Plan", show.PLAN_COLUMNS, show.plan_rows(found))
        sys.stdout.writelines(f"gone: {point}\n" for point in found.gone)
        sys.stdout.writelines(
            f"measured before with this key, in {name}: {point}\n" for point, name in found.reused.items()
        )
        sys.stdout.write(show.plan_summary(found) + "\n")
    return Exit.OK


def run(arguments: Namespace) -> Exit:
    """Run points, show a table, tell where the records are; with two arms also the verdict."""
    from utils import confirming  # noqa: PLC0415 - Student's t is no business of a plain run

    if arguments.confirm:
        return _confirm(arguments, Path(arguments.confirm).absolute())
    made = timed(arguments, the_plan(arguments))
    if not made.jobs:
        sys.stdout.write("nothing to run: no point's key differs\n")
        return Exit.OK
    order, wanted = order_for(arguments, made)
    if arguments.print_script or arguments.print_batch:
        for job in made.jobs:
            launcher = wanted[job.cluster]
            if arguments.print_batch:
                sys.stdout.write(launcher.batch(order, job))
            elif job.base is None:
                sys.stdout.write(launcher.script(order, job))
            else:
                turns = " ".join(job.arms)
                sys.stdout.write(f"# two servers in turns, each run a fresh one: {turns}\n# the base:\n")
                theirs = replace(order, tree=order.base_tree or order.tree)
                sys.stdout.write(launcher.script(theirs, job.of("base")))
                sys.stdout.write("# the head:\n" + launcher.script(order, job.of("head")))
        return Exit.OK
    launcher = the_launcher(wanted)
    if not arguments.out and (unfinished := launcher.unfinished(order, ROOT / "results")):
        sys.stdout.write(f"going on with {unfinished}, which a launcher before this one left unfinished\n")
        order = replace(order, out=unfinished)
    code = launch(launcher, order)
    if made.pair is None or not any(job.base for job in made.jobs) or code == Exit.CANCELLED:
        return code
    return max(code, confirming.finish(arguments, order, launcher, timed, launch))


def _confirm(arguments: Namespace, out: Path) -> Exit:
    """`run --confirm DIR`: what a run with `--no-confirm`, or one that was cut off, left to do."""
    from utils import confirming  # noqa: PLC0415

    given = ("selectors", "pair", "changed", "out", "tree", "environment", "print_script", "print_batch")
    if any(getattr(arguments, name) for name in given):
        raise HarnessError(
            Exit.USAGE,
            "--confirm takes points, base, tree and environment from the results; it goes with --launcher, --ledger and --budget alone",
        )
    plan = confirming.plan_of(out)
    for name, value in json.loads((out / ASKED).read_bytes()).items():
        setattr(arguments, name, value)
    arguments.no_confirm = False
    order, wanted = order_for(arguments, plan)
    _same_keys(plan, the_tree(arguments)[1])
    return confirming.finish(arguments, replace(order, out=out), the_launcher(wanted), timed, launch)


ASKED = "asked.json"
"""Beside a plan: the checkout and the environment that it was made with."""


def _same_keys(plan: Plan, tree: Tree) -> None:
    points = [point for job in plan.jobs for point in job.points]
    now = {
        point.id: point.key
        for job in select.chosen(tree, [point.id for point in points]).jobs
        for point in job.points
    }
    if moved := [point.id for point in points if now.get(point.id) != point.key]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{len(moved)} points are others than they were ({moved[0]}); check out what was measured, then confirm",
        )


def order_for(arguments: Namespace, made: Plan) -> tuple[Order, dict[str, Launcher]]:
    """What is to be run, and which launcher runs each cluster's jobs."""
    from utils.launch import base, launchers  # noqa: PLC0415 - templates and uv are no business of `plan`

    root, tree = the_tree(arguments)
    known = {
        name: clusters.load(tree.clusters, name) for name in dict.fromkeys(job.cluster for job in made.jobs)
    }
    wanted = {
        name: launchers.for_cluster(name, cluster, arguments.launcher) for name, cluster in known.items()
    }
    order = base.Order(
        plan=made,
        clusters=known,
        tree=root,
        base_tree=basis.on_disk(root, made.pair),
        out=Path(arguments.out).absolute() if arguments.out else _new_folder(made),
        environment=Path(arguments.environment) if arguments.environment else None,
    )
    return order, wanted


def the_launcher(wanted: dict[str, Launcher]) -> Launcher:
    """The only one; jobs of several clusters are run one cluster at a time."""
    if len(wanted) > 1:
        raise HarnessError(
            Exit.USAGE,
            f"the points are on {len(wanted)} clusters ({', '.join(wanted)}); run one at a time",
        )
    return next(iter(wanted.values()))


def _new_folder(made: Plan) -> Path:
    return ROOT / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{made.jobs[0].points[0].recipe}"


def launch(launcher: Launcher, order: Order) -> Exit:
    """Take the results folder and run what it wants, which may be a plan that was begun there."""
    from utils.node.record import write_whole  # noqa: PLC0415

    order = launcher.claim(order)
    write_whole(order.out / "plan.json", order.plan.to_json(indent=1).encode())
    asked = {"tree": str(order.tree), "environment": str(order.environment) if order.environment else None}
    write_whole(order.out / ASKED, json.dumps(asked).encode())
    shown = log.for_stream(sys.stdout)
    code = Exit.CANCELLED
    try:
        code = launcher.run(order, shown.event)
    finally:
        shown.close()
        _show_results(order.out)
    return code


def _show_results(out: Path) -> None:
    from utils.results.collect import collect, missing  # noqa: PLC0415

    try:
        records = collect([out])
    except HarnessError as error:
        records = []
        found = next(out.rglob("record.json"), None)
        why = log.clean(f"what was measured cannot be shown: {error}") if found else "nothing was measured"
        sys.stdout.write(f"{why}; logs: {out}\n")
    if records:
        rows = [show.result_row(one) for one in records]
        show.table(sys.stdout, "Means of whole runs", show.RESULT_COLUMNS, rows)
    sys.stdout.writelines(f"missing: {log.clean(line)}\n" for line in missing(out, records))
    if records:
        sys.stdout.write(f"records: {out}\n")


def collect(arguments: Namespace) -> Exit:
    """Show records again."""
    from utils.results.collect import collect as find  # noqa: PLC0415

    if arguments.job:
        from utils.slurm_commands import fetch_job  # noqa: PLC0415 - only where a job is asked for

        fetch_job(arguments.job, Path(arguments.folders[0]), arguments.node, arguments.cluster)
    records = find([Path(folder) for folder in arguments.folders])
    if arguments.format == "json":
        json.dump([one.model_dump(mode="json") for one in records], sys.stdout)
        sys.stdout.write("\n")
    else:
        show.table(
            sys.stdout, "Means of whole runs", show.RESULT_COLUMNS, [show.result_row(one) for one in records]
        )
    bad = [one for one in records if one.status != "measured"]
    return Exit.GATE_FAILED if bad else Exit.OK
