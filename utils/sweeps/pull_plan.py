"""The plan of a pull request: for its comment, for what a comment asks, and for the sweep of its head."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import merge_base
from utils.github import comments, pulls
from utils.github.event import from_environment, summary
from utils.node.files import write_whole
from utils.pipeline.ask import Ask
from utils.pipeline.plan import plan
from utils.setup.environments import ROOT
from utils.show.markdown import escape
from utils.sweeps import plan_artifact, plan_comment
from utils.sweeps.command import Command, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matrix.plan import Plan


def of_event(out: Path) -> Exit:
    """Plan a pull request: what its head changes against the merge base, both arms of it.

    Args:
        out: folder that gets plan.json.
    """
    event = from_environment()
    base, head = event.at("pull_request", "base", "sha"), event.at("pull_request", "head", "sha")
    if not base or not head:
        raise HarnessError(
            Exit.USAGE, f"the event {event.name!r} is of no pull request; this command is for plan.yml"
        )
    made = asked_for(None, merge_base(ROOT, base, head), head)
    write_whole(out / plan_artifact.FILE, made.to_json().encode())
    summary("".join(plan_comment.parts(made, head)))
    return Exit.OK


def of_comment(tree: Path) -> Exit:
    """Plan what `/sweep plan …` asks for, and write it as the plan's comment; what is wrong with it is the answer.

    Args:
        tree: checkout of the pull request's commit.
    """
    event = from_environment()
    command = parse(str(event.at("comment", "body") or ""))
    if not isinstance(command, Command):
        raise HarnessError(Exit.USAGE, "the comment asks for no plan; it begins with /sweep plan")
    pull = pulls.get(event.api, int(event.payload["issue"]["number"]))
    try:
        parted = merge_base(tree, pull.base, pull.head)
        parts = plan_comment.parts(
            asked_for(tree, parted, pull.head, command.selectors, command.options), pull.head
        )
    except HarnessError as error:
        parts = [f"**There is no such plan**: {escape(str(error))[:2000]}\n"]
    comments.upsert(event.api, pull.number, "plan", parts)
    return Exit.OK


def asked_for(
    tree: Path | None,
    parted: str,
    head: str,
    selectors: Sequence[str] = (),
    options: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The plan of a command: points whose key differs from the merge base, or those that are selected; both arms of them.

    Args:
        tree: checkout of the pull request; None means this one.
        parted: the merge base.
        head: its commit.
        selectors: none means what changed.
        options: of the command: runs, pair, budget.
    """
    return plan(
        Ask(
            root=tree or ROOT,
            selectors=tuple(selectors),
            changed=None if selectors else f"{parted}...{head}",
            pair=options.get("pair") or parted,
            runs=int(options["runs"]) if options.get("runs") else None,
            budget_h=float(options["budget"]) if options.get("budget") else None,
            timings=None if tree else (),
        )
    )
