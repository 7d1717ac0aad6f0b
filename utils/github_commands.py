"""`servematrix github …`: what jobs of GitHub Actions call. Each reads the event that started its job."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils import basis
from utils.commands import the_plan, timed
from utils.environments import ROOT
from utils.github import plan_comment, react
from utils.github.event import from_environment, summary
from utils.node.record import write_whole

if TYPE_CHECKING:
    from matrix.plan import Plan


def plan(arguments: Namespace) -> Exit:
    """Plan a pull request: what its head changes against the merge base, both arms of it."""
    event = from_environment()
    base, head = event.at("pull_request", "base", "sha"), event.at("pull_request", "head", "sha")
    if not base or not head:
        raise HarnessError(Exit.USAGE, f"the event {event.name!r} is of no pull request")
    found = of_range(base, head)
    write_whole(Path(arguments.out) / react.FILE, found.to_json().encode())
    summary("".join(plan_comment.parts(found, head)))
    return Exit.OK


def of_range(base: str, head: str) -> Plan:
    """What a sweep of that head would run, of this checkout's trees."""
    asked = Namespace(
        tree=None,
        selectors=[],
        changed=f"{base}...{head}",
        pair=basis.merge_base(ROOT, base, head),
        runs=None,
        budget=None,
        history=[],
        launcher=None,
    )
    return timed(asked, the_plan(asked))


def comment_plan(arguments: Namespace) -> Exit:
    """Write the plan of the run that has ended as a comment."""
    del arguments
    return react.to_plan(from_environment())


def command(arguments: Namespace) -> Exit:
    """Do what a comment asks for; a refused one has its answer, so that the job did what it should."""
    del arguments
    react.to_comment(from_environment())
    return Exit.OK
