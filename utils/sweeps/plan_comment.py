"""What a pull request would run, and why: the comment and the summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from matrix import estimate
from utils.show.markdown import code, escape, folded, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.plan import Plan

ROWS = 12
"""Jobs that are visible; the others are folded away."""
NEW = 5
"""New images and models that are visible."""
LINES = 6
"""Changed lines that are visible."""
MEMORY = 3
"""Layouts whose memory is said."""
REASONS = (
    "A difference that is meant gets its reason in the recipe: `because: {NAME: why}` (docs/recipes.md)."
)


def parts(plan: Plan, head: str, new: Sequence[str] = ()) -> list[str]:
    """The comment in parts, the first of them visible; later ones may be left out for size.

    Args:
        plan: from a job that ran the pull request's own code, checked by its schema: every text in it is somebody's.
        head: the commit that it is about.
        new: what the default branch does not run yet, a line each: the first thing that an approval is about.
    """
    visible = [f"**{_headline(plan)}**\n\n", *(f"- {code(line)}\n" for line in new[:NEW])]
    if new:
        visible.append("\n" if len(new) <= NEW else f"- and {len(new) - NEW} more\n\n")
    jobs = [_job_row(plan, number) for number in range(len(plan.jobs))]
    heads = ["job", "points", "why", "server starts", "node-hours"]
    if jobs:
        visible.append(table(heads, jobs[:ROWS]) + "\n")
    if len(jobs) > ROWS:
        visible.append(f"and {len(jobs) - ROWS} more jobs\n\n")
    visible += [f"- {code(line)}\n" for line in plan.lines[:LINES]]
    if len(plan.lines) > LINES:
        visible.append(f"- and {len(plan.lines) - LINES} more lines\n")
    visible += [f"- {escape(text)}\n" for text in _remarks(plan)]
    if plan.jobs:
        visible.append(f"\nTo measure it, a person with write access comments `/sweep run {head}`\n\n")
    return ["".join(visible), *_folded(plan, heads, jobs)]


def _headline(plan: Plan) -> str:
    if not plan.jobs:
        return "Nothing would run: no point's key differs from the base's"
    jobs = "one job" if len(plan.jobs) == 1 else f"{len(plan.jobs)} jobs"
    canaries = sum(job.base is not None for job in plan.jobs)
    starts = plan.server_starts + canaries
    return f"{plan.points} points in {jobs} would run: {starts} server starts, about {estimate.node_hours(plan):.2f} node-hours"


def _job_row(plan: Plan, number: int) -> list[str]:
    job = plan.jobs[number]
    why = Counter(point.why for point in job.points)
    first = why.most_common(1)[0][0]
    more = f" (and {len(why) - 1} other reasons)" if len(why) > 1 else ""
    order = " ".join(arm[0].upper() for arm in job.arms)
    return [job.id, str(len(job.points)), f"{first[:200]}{more}", order, f"{job.walltime_s / 3600:.2f}"]


def _remarks(plan: Plan) -> list[str]:
    said = []
    if plan.gone:
        said.append(f"points that are gone ({len(plan.gone)}): {', '.join(plan.gone[:3])}")
    if plan.reused:
        names = ", ".join(sorted(set(plan.reused.values()))[:5])
        said.append(f"points with figures of the same key already ({len(plan.reused)}): {names}")
    said += _memory(plan) if plan.jobs else []
    if plan.problems:
        said.append(f"not all of the base can be compared ({len(plan.problems)}): {plan.problems[0][:300]}")
    return said


def _memory(plan: Plan) -> list[str]:
    """What weights take and what is left, a line a layout."""
    found: list[str] = []
    for text in plan.memory:
        if text.startswith(" ") and found:
            found[-1] = f"{found[-1]}; {text.strip()[:200]}"
        else:
            found.append(text[:200])
    return found[:MEMORY]


def _folded(plan: Plan, heads: list[str], jobs: list[list[str]]) -> list[str]:
    made = []
    if plan.points:
        rows = [
            [point.id, point.key, point.why[:300], plan.reused.get(point.id, "")]
            for job in plan.jobs
            for point in job.points
        ]
        made.append(
            folded(f"All {plan.points} points", table(["point", "key", "why", "measured before in"], rows))
        )
    if len(jobs) > ROWS:
        made.append(folded(f"All {len(jobs)} jobs", table(heads, jobs)))
    if plan.upstream:
        title = f"Without a reason, {len(plan.upstream)} differences from the engine's official recipe"
        body = "".join(f"- {code(line)}\n" for line in plan.upstream)
        made.append(folded(title, f"{body}\n{REASONS}"))
    if len(plan.lines) > LINES:
        made.append(folded("All changed lines", "".join(f"- {code(line)}\n" for line in plan.lines)))
    return made
