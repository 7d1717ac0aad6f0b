"""From a plan to records: the order, its launcher, and the table at the end."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from utils.launch import choice
from utils.launch.interface import Order
from utils.node.files import below, write_whole
from utils.pipeline.ask import RESULTS
from utils.pipeline.other_arm import on_disk
from utils.pipeline.plan import images_of
from utils.results.collect import collect, missing
from utils.setup import provenance
from utils.setup.environments import ROOT
from utils.show import log, tables

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import Plan
    from utils.launch.interface import Launcher
    from utils.pipeline.ask import Ask

ASKED = "asked.json"
"""Beside a plan: the checkout and the environment that it was made with."""


def order_of(ask: Ask, plan: Plan) -> tuple[Order, dict[str, Launcher]]:
    """What is to be run, and which launcher runs each cluster's jobs."""
    names = dict.fromkeys(job.cluster for job in plan.jobs)
    known = {name: clusters.load(ask.tree.clusters, name) for name in names}
    by_cluster = {name: choice.for_cluster(name, cluster, ask.launcher) for name, cluster in known.items()}
    order = Order(
        plan=plan,
        clusters=known,
        tree=ask.root,
        base_tree=on_disk(ask.root, plan.pair),
        out=ask.out or _new_folder(plan),
        environment=ask.environment,
        profile="" if plan.pair else ask.profile,  # of a pair, after its verdict
        known_images=None if ask.root == ROOT else images_of(ROOT),
    )
    return order, by_cluster


def only_launcher(by_cluster: dict[str, Launcher]) -> Launcher:
    """The launcher of the one cluster that a run may have.

    Raises:
        HarnessError: USAGE for several.
    """
    if len(by_cluster) > 1:
        raise HarnessError(
            Exit.USAGE,
            f"the points are on {len(by_cluster)} clusters ({', '.join(by_cluster)}); run one at a time, by its recipes or with --cluster",
        )
    return next(iter(by_cluster.values()))


def execute(launcher: Launcher, order: Order) -> Exit:
    """Take the results folder and run what it wants, which may be a plan that was begun there; then show what was measured."""
    _check(launcher, order)
    order = launcher.claim(order)
    write_whole(order.out / "plan.json", order.plan.to_json(indent=1).encode())
    asked = {"tree": str(order.tree), "environment": str(order.environment) if order.environment else None}
    write_whole(order.out / ASKED, json.dumps(asked).encode())
    shown = log.Guarded(log.for_stream(sys.stdout))
    if why := provenance.problem(order.tree):
        shown.event(
            {
                "kind": "note",
                "text": f"records will not say which commit they are of, and no claim can use them: {why}",
            }
        )
    code = Exit.CANCELLED
    try:
        code = launcher.run(order, shown.event)
    finally:
        shown.close()
        _show(order.out)
    return code


def _new_folder(plan: Plan) -> Path:
    return RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plan.jobs[0].points[0].recipe}"


def _check(launcher: Launcher, order: Order) -> None:
    """Before a folder is made: a usage error leaves none."""
    for job in order.plan.jobs:
        launcher.check(order, job)


def with_own_folder(launcher: Launcher, order: Order) -> Order:
    """The same in a folder that nobody else has: another run may have begun in the same second."""
    _check(launcher, order)
    for number in range(1, 1000):
        out = order.out if number == 1 else order.out.with_name(f"{order.out.name}-{number}")
        try:
            out.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise HarnessError(Exit.USAGE, f"{out}: {error.strerror}; name a folder with --out") from error
        return replace(order, out=out)
    raise HarnessError(Exit.OUT_IN_USE, f"{order.out} and 999 more are taken; give another --out")


def _show(out: Path) -> None:
    """What came of it; an error in that is said, and does not replace how the run ended."""
    try:
        _table(out)
    except Exception as error:  # noqa: BLE001 - the records are there, and how they are shown must not change the outcome
        sys.stderr.write(
            f"servematrix: the results cannot be shown ({error!r}); try: ./servematrix collect {out}\n"
        )


def _table(out: Path) -> None:
    """The table of a results folder, points without a record, and where the records are."""
    try:
        records = collect([out])
    except HarnessError as error:
        records = []
        found = next(below(out, "record.json"), None)
        why = log.clean(f"what was measured cannot be shown: {error}") if found else "nothing was measured"
        sys.stdout.write(f"{why}; logs: {out}\n")
    if records:
        tables.results(sys.stdout, records)
    sys.stdout.writelines(f"missing: {log.clean(str(one))}\n" for one in missing(out, records))
    if records:
        sys.stdout.write(f"records: {out}\n")
