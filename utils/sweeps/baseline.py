"""The default branch's own figures: what has no entry in the changelog is measured, without a base."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from matrix.errors import Exit
from matrix.source import commit_of
from utils.github.api import GitHubError
from utils.github.trigger import from_environment, summary
from utils.pipeline.ask import Ask
from utils.pipeline.plan import reused, selected, timed
from utils.results.changelog import entries as changelog
from utils.results.changelog.edit import Stub
from utils.setup.environments import ROOT
from utils.sweeps import workflow_runs
from utils.sweeps.command import Command

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import Plan
    from utils.github.trigger import Event

RUNS = 2
FORBIDDEN = 403
BRANCH = "servematrix/baseline-"


def plan(tree: Path) -> Plan:
    """Points of a checkout whose key has no figures in its changelog."""
    ask = Ask(root=tree, runs=RUNS)
    made = selected(ask)
    known = reused(made, tree)
    jobs = [
        job.model_copy(update={"points": left})
        for job in made.jobs
        if (left := [point for point in job.points if point.id not in known])
    ]
    update = {"jobs": jobs, "points": sum(len(job.points) for job in jobs)}
    return timed(ask, made.model_copy(update=update))


def stub(content: bytes, recipe: str, sha: str) -> Stub:
    """The entry that the figures go into: one that waits, else one of their own."""
    entries = changelog.read(content).root.get(recipe, [])
    if entries and entries[0].is_stub:
        return Stub(entries[0].pr, "", ())
    return Stub(None, f"Baseline at {sha[:10]}", ("These keys have no entry",))


def start_where_new() -> Exit:
    """Start a sweep of the default branch where it has keys that were never measured, and nobody is at it."""
    event = from_environment()
    if commit_of(ROOT, "HEAD") != str(event.payload["after"]):
        sys.stdout.write("a newer push has a run of its own\n")
        return Exit.OK
    found = plan(ROOT)
    if not found.jobs:
        sys.stdout.write("every key has its figures; nothing to measure\n")
        return Exit.OK
    if _waits(event) or any(one.pull == 0 for one in workflow_runs.alive(event.api)):
        sys.stdout.write("a sweep of the default branch is running, or its pull request waits to be merged\n")
        return Exit.OK
    workflow_runs.start(event.api, 0, str(event.payload["after"]), Command("run"))
    sys.stdout.write(f"a sweep of {found.points} points is on its way\n")
    return Exit.OK


def _waits(event: Event) -> bool:
    """Whether a pull request of ours is open; a fork may have a branch of that name."""
    return any(
        one["head"]["ref"].startswith(BRANCH)
        and (one["head"].get("repo") or {}).get("full_name") == event.repository
        for one in event.api.pages("pulls", state="open")
    )


def is_second(event: Event) -> bool:
    """Whether a sweep of the default branch is there that began before this one.

    Two pushes within seconds can each start one, for neither sees the other's yet. A run sees all that were made before it, so that of any
    number of them the first alone measures.
    """
    return any(one.pull == 0 and one.run < int(event.run) for one in workflow_runs.alive(event.api))


def open_pull(event: Event, sha: str, branch: str, headline: str) -> str:
    """The pull request with the entry; its address."""
    base = str(event.at("repository", "default_branch"))
    body = f"Figures of `{sha}` for keys without an entry: {headline}.\n\nMeasured by {event.run_url}."
    asked = {"title": f"Figures of {sha[:10]}", "head": branch, "base": base, "body": body}
    try:
        return str(event.api.call("POST", "pulls", asked)["html_url"])
    except GitHubError as error:
        if error.status != FORBIDDEN:
            raise
        summary(f"{error}; Actions may not make pull requests here, so make it by hand\n")
        return f"{event.server}/{event.repository}/compare/{base}...{branch}"
