"""`servematrix github …`: what jobs of GitHub Actions call. Each reads the event that started its job."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import merge_base
from utils.commands import asking, the_plan, timed
from utils.github import comments, plan_comment, plans, pulls, react
from utils.github.command import Command, parse
from utils.github.event import from_environment, summary
from utils.markdown import escape
from utils.node.record import write_whole
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from matrix.plan import Plan


def plan(arguments: Namespace) -> Exit:
    """Plan a pull request: what its head changes against the merge base, both arms of it."""
    event = from_environment()
    base, head = event.at("pull_request", "base", "sha"), event.at("pull_request", "head", "sha")
    if not base or not head:
        raise HarnessError(Exit.USAGE, f"the event {event.name!r} is of no pull request")
    found = of_range(base, head)
    write_whole(Path(arguments.out) / plans.FILE, found.to_json().encode())
    summary("".join(plan_comment.parts(found, head)))
    return Exit.OK


def of_range(base: str, head: str) -> Plan:
    """What a sweep of that head would run, of this checkout's trees."""
    return asked_for(None, merge_base(ROOT, base, head), head)


def asked_for(
    tree: Path | None,
    merge_base: str,
    head: str,
    selectors: Sequence[str] = (),
    options: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The plan of a command: points whose key differs from the merge base, or those that are selected; both arms of them.

    Args:
        tree: checkout of the pull request; None means this one.
        merge_base: what it parted from.
        head: its commit.
        selectors: none means what changed.
        options: of the command: runs, pair, budget.
    """
    asked = asking(
        tree=str(tree) if tree else None,
        selectors=list(selectors),
        changed=None if selectors else f"{merge_base}...{head}",
        pair=options.get("pair") or merge_base,
        runs=int(options["runs"]) if options.get("runs") else None,
        budget=float(options["budget"]) if options.get("budget") else None,
        history=None if tree else [],
    )
    return timed(asked, the_plan(asked))


def plan_asked(arguments: Namespace) -> Exit:
    """Plan what `/sweep plan …` asks for, and write it as the plan's comment; what is wrong with it is the answer."""
    event = from_environment()
    found = parse(str(event.at("comment", "body") or ""))
    if not isinstance(found, Command):
        raise HarnessError(Exit.USAGE, "the comment asks for no plan")
    pull = pulls.get(event.api, int(event.payload["issue"]["number"]))
    tree = Path(arguments.tree).resolve()
    try:
        made = asked_for(
            tree, merge_base(tree, pull.base, pull.head), pull.head, found.selectors, found.options
        )
        parts = plan_comment.parts(made, pull.head)
    except HarnessError as error:
        parts = [f"**There is no such plan**: {escape(str(error))[:2000]}\n"]
    comments.upsert(event.api, pull.number, "plan", parts)
    return Exit.OK


def comment_plan(arguments: Namespace) -> Exit:
    """Write the plan of the run that has ended as a comment."""
    del arguments
    return react.to_plan(from_environment())


def command(arguments: Namespace) -> Exit:
    """Do what a comment asks for; a refused one has its answer, so that the job did what it should."""
    del arguments
    react.to_comment(from_environment())
    return Exit.OK
