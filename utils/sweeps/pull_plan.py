"""The plan of a pull request: for its comment, for what a comment asks, and for the sweep of its head."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import merge_base
from utils.github import comments
from utils.github.trigger import from_environment, summary
from utils.node.files import write_whole
from utils.pipeline.ask import Ask
from utils.pipeline.plan import plan
from utils.setup.environments import ROOT
from utils.show.markdown import escape
from utils.sweeps import new_images, plan_artifact, plan_comment
from utils.sweeps.command import Command, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matrix.plan import Plan

WHY = "why.txt"
"""Why there is no plan."""
MOST_WHY = 2000
"""Letters of it."""


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


def of_comment(tree: Path, out: Path) -> Exit:
    """Plan what `/sweep plan …` asks for, in a job without a token; what is wrong with it is left in words.

    Args:
        tree: checkout of the pull request's commit.
        out: folder that gets plan.json, or why.txt.
    """
    command = parse(str(from_environment().at("comment", "body") or ""))
    head, base = (os.environ.get(name, "") for name in ("HEAD", "BASE"))
    if not isinstance(command, Command) or not all(re.fullmatch("[0-9a-f]{40}", sha) for sha in (head, base)):
        raise HarnessError(
            Exit.USAGE,
            "the comment does not begin with /sweep plan, or HEAD and BASE are no commits; this command is for command.yml",
        )
    for name in (WHY, plan_artifact.FILE):  # of an earlier command, on a machine that keeps its folders
        (out / name).unlink(missing_ok=True)
    try:
        made = asked_for(tree, merge_base(tree, base, head), head, command.selectors, command.options)
    except HarnessError as error:
        write_whole(out / WHY, str(error).encode()[:MOST_WHY])
    else:
        write_whole(out / plan_artifact.FILE, made.to_json().encode())
    return Exit.OK


def answer(folder: Path) -> Exit:
    """Write what `of_comment` left as the plan's comment.

    Args:
        folder: with plan.json or why.txt, made from a stranger's recipes.
    """
    event, head = from_environment(), os.environ.get("HEAD", "")
    if (folder / WHY).exists():
        why = (folder / WHY).read_bytes()[:MOST_WHY].decode(errors="replace")
        parts = [f"**There is no such plan**: {escape(why)}\n"]
    else:
        made = plan_artifact.parsed((folder / plan_artifact.FILE).read_bytes())
        parts = plan_comment.parts(made, head, new_images.new(made, new_images.known()))
    comments.upsert(event.api, int(event.payload["issue"]["number"]), "plan", parts)
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
