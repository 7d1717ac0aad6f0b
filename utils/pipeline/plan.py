"""From what is asked to a plan with estimates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix import estimate, key, select
from matrix.errors import Exit, HarnessError
from matrix.source import Folder, Revision, merge_base
from matrix.tree import Tree
from matrix.vllm.official import compare
from utils.launch import choice
from utils.pipeline import diff
from utils.pipeline.ask import RESULTS
from utils.pipeline.durations import history
from utils.pipeline.other_arm import base_of
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.pair import Base
    from matrix.plan import Plan
    from utils.pipeline.ask import Ask


def plan(ask: Ask) -> Plan:
    """The points that are asked for, with estimates, within the budget."""
    return timed(ask, selected(ask))


def selected(ask: Ask) -> Plan:
    """The points that the selectors, or a range of commits, ask for, with their base where one is named."""
    base = base_of(ask.pair, ask.root, ask.tree, ask.selectors) if ask.pair else None
    if ask.changed is None:
        return select.chosen(ask.tree, ask.selectors, base, ask.runs)
    return _changed(ask, base, *_range(ask.changed))


def timed(ask: Ask, made: Plan) -> Plan:
    """A plan with estimates.

    Raises:
        HarnessError: OVER_BUDGET.
    """
    if not made.jobs:
        return made
    known = history(ask.timings if ask.timings is not None else _usual_timings())
    found = {name: clusters.load(ask.tree.clusters, name) for name in {job.cluster for job in made.jobs}}
    canary = all(choice.begins_with_canary(cluster, ask.launcher) for cluster in found.values())
    result = estimate.timed(made, found, known, canary=canary)
    estimate.hold_budget(result, ask.budget_h)
    return result


def reused(plan: Plan, root: Path) -> dict[str, str]:
    """Points whose very key has figures in a checkout's changelog, by what names the entry."""
    from utils.results.changelog import entries as changelog  # noqa: PLC0415 - only `--changed` needs it

    path = root / changelog.FILE
    if not path.exists():
        return {}
    known: dict[tuple[str, str], str] = {}
    for recipe, entries in changelog.read(path.read_bytes()).root.items():
        for entry in entries:
            if not entry.source:
                name = f"#{entry.pr}" if entry.pr else entry.title
                for point, line in entry.points.items():
                    known.setdefault((f"{recipe}/{point}", line.key), name)
    points = [point for job in plan.jobs for point in job.points]
    return {
        point.id: known[point.id, point.key]
        for point in points
        if (point.id, point.key) in known and not key.is_local(point.key)
    }


def images_of(root: Path) -> frozenset[str]:
    """Every image that a checkout's own recipes run."""
    points = [point for job in select.chosen(Tree.of(Folder(root)), []).jobs for point in job.points]
    return frozenset(point.image for point in points)


def _range(changed: str) -> tuple[str, str]:
    base, _, head = changed.partition("...")
    if not base or ".." in base or ".." in head:
        raise HarnessError(
            Exit.USAGE, f"--changed wants BASE or BASE...HEAD, such as main...HEAD, not {changed!r}"
        )
    return base, head


def _changed(ask: Ask, with_base: Base | None, base: str, head: str) -> Plan:
    parted = merge_base(ask.root, base, head or "HEAD")
    before = _committed(ask, parted)
    after = _committed(ask, head) if head else ask.tree
    found = select.changed(before, after, ask.selectors, with_base, ask.runs)
    lines = diff.lines(ask.root, parted, head)
    recipes = list(dict.fromkeys(point.recipe for job in found.jobs for point in job.points))
    differ = compare.unexplained(after, recipes)
    return found.model_copy(update={"lines": lines, "upstream": differ, "reused": reused(found, ask.root)})


def _committed(ask: Ask, revision: str) -> Tree:
    """A revision's tree, with what is asked of the working tree's."""
    harness = Folder(ROOT) if ask.root != ROOT else None
    tree = Tree.of(Revision(ask.root, revision), harness)
    return replace(tree, own_environment=ask.tree.own_environment, cluster=ask.cluster)


def _usual_timings() -> tuple[Path, ...]:
    return (RESULTS,) if RESULTS.is_dir() else ()
