"""The sweep's first job: plan an approved commit, or one of the default branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import merge_base
from utils.github import pulls
from utils.github.trigger import Event, from_environment, output, summary
from utils.show.log import clean
from utils.sweeps import approval, baseline, new_images, plan_comment
from utils.sweeps.entry import refuse_bad_changelog
from utils.sweeps.inputs import asked_of, hand_on, where_sweeps_may_run
from utils.sweeps.pull_plan import asked_for

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import Plan

MOST_WHY = 1000
"""Characters of an error that are handed on."""


def plan_sweep(tree: Path, out: Path) -> Exit:
    """Plan a commit that is the head, that is open, and that a person approved; of no pull request, one of the default branch.

    Args:
        tree: checkout of that commit.
        out: folder that gets plan.json.
    """
    event = from_environment()
    number, sha = asked_of(event)
    try:
        if number == 0:
            _refuse_other_branches(event, tree, sha)
            made = baseline.plan(tree)
            if baseline.is_second(event):
                made = made.model_copy(update={"jobs": [], "points": 0})
                summary("Another sweep of the default branch began before this one; it measures nothing.\n\n")
        else:
            made = _of_pull(event, number, sha, tree)
            refuse_bad_changelog(tree)
            known = new_images.known()
            if made.pair and _is_merged(event, tree, made.pair.commit):
                known = new_images.with_base(known, made)
            new_images.refuse_floating(made, known)
        made, kept_out = where_sweeps_may_run(made)
        hand_on(made, out)
    except HarnessError as error:
        output(why=clean(str(error)).replace("\n", "; ")[:MOST_WHY])  # the publishing job tells it
        raise
    summary(kept_out + "".join(plan_comment.parts(made, sha, new_images.new(made, new_images.known()))))
    return Exit.OK


def _of_pull(event: Event, number: int, sha: str, head: Path) -> Plan:
    pull = pulls.get(event.api, number)
    if not pull.is_open or pull.head != sha:
        raise HarnessError(
            Exit.REFUSED,
            f"{sha[:10]} is not the head of an open pull request {number}; comment /sweep run with its newest commit",
        )
    if not approval.is_approved(event.api, sha):
        raise HarnessError(
            Exit.REFUSED,
            f"nobody approved {sha[:10]}: a person with write access comments /sweep run {sha}",
        )
    inputs = event.payload["inputs"]
    selectors = str(inputs.get("selectors") or "").split()
    return asked_for(head, merge_base(head, pull.base, sha), sha, selectors, inputs)


def _refuse_other_branches(event: Event, head: Path, sha: str) -> None:
    if not _is_merged(event, head, sha):
        branch = str(event.at("repository", "default_branch"))
        raise HarnessError(
            Exit.REFUSED,
            f"{sha[:10]} is not on {branch}; a sweep without a pull request is of that branch's commits alone",
        )


def _is_merged(event: Event, tree: Path, sha: str) -> bool:
    """Whether a commit is on the default branch."""
    branch = str(event.at("repository", "default_branch"))
    return bool(sha) and merge_base(tree, f"refs/remotes/origin/{branch}", sha) == sha
