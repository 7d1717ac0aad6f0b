"""The default branch against itself, a job of each recipe a night: what noise is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matrix.errors import Exit
from matrix.source import commit_of
from utils.github.trigger import from_environment, summary
from utils.pipeline.ask import Ask
from utils.pipeline.plan import selected, timed
from utils.setup.environments import ROOT
from utils.show.markdown import escape
from utils.sweeps import plan_comment, quarantine_copy, returned
from utils.sweeps.inputs import hand_on, read_plan, where_sweeps_may_run
from utils.sweeps.recheck import rechecked

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import Job


def plan_night(out: Path) -> Exit:
    """This checkout against itself: one job of each recipe, another one each night.

    Args:
        out: folder that gets plan.json.
    """
    commit = commit_of(ROOT, "HEAD")
    ask = Ask(pair=commit)
    made = selected(ask)
    night = int(datetime.now(UTC).timestamp() // 86400)
    by_recipe: dict[str, list[Job]] = {}
    for job in made.jobs:
        by_recipe.setdefault(job.points[0].recipe, []).append(job)
    jobs = [of_one[night % len(of_one)] for of_one in by_recipe.values()]
    some = made.model_copy(update={"jobs": jobs, "points": sum(len(job.points) for job in jobs)})
    plan, _ = where_sweeps_may_run(timed(ask, some))
    hand_on(plan, out)
    summary("".join(plan_comment.parts(plan, commit)))
    return Exit.OK


def keep_night(plan: Path, results: Path, out: Path) -> Exit:
    """Records that can be read, in the places of the data branch, and what the clusters' quarantine was.

    Args:
        plan: folder with the night's plan.json.
        results: what the runs left.
        out: where the records go.
    """
    event, notes = from_environment(), list[str]()
    made = read_plan(plan)
    commit = made.pair.commit if made.pair else ""
    for place, one in rechecked(returned.taken(results, made, notes, event.run, commit), made).items():
        returned.keep(one, place, out / "records")
    notes += quarantine_copy.gather(results, made, out)
    summary("".join(f"{escape(note)}\n" for note in notes))
    return Exit.OK
