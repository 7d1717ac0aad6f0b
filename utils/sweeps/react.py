"""What a comment, or a plan that is ready, makes us do."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.github import comments, pulls
from utils.github.api import GitHubError
from utils.github.trigger import output, summary
from utils.show.markdown import escape
from utils.sweeps import approval, new_images, plan_artifact, plan_comment, queue, workflow_runs
from utils.sweeps.command import Command, Mistake, help_text, parse

if TYPE_CHECKING:
    from utils.github.pulls import Pull
    from utils.github.trigger import Event

ARTIFACT = "plan"
TITLE = re.compile(r"plan #(\d{1,9})")
"""The workflow's `run-name`. It may come from a pull request's own file, and picks among those that have that head."""


def to_comment(event: Event) -> Exit:
    """Do what a comment asks for: answer with a reaction, or with one sentence.

    Whoever lacks write access gets a reaction alone, whatever they wrote.
    """
    found = parse(str(event.at("comment", "body") or ""))
    if found is None or event.at("issue", "pull_request") is None or event.at("action") != "created":
        return Exit.OK
    user, pull = str(event.at("comment", "user", "login")), int(event.payload["issue"]["number"])
    if not pulls.may_command(event.api, user):
        _reaction(event, "-1")
        return Exit.REFUSED
    if isinstance(found, Mistake):
        return _refuse(event, pull, found.sentence)
    try:
        answer = _do(event, pull, user, found)
    except Refused as refused:
        return _refuse(event, pull, str(refused))
    _reaction(event, "rocket" if found.verb == "run" else "+1")
    if answer:
        _say(event, pull, answer)
    return Exit.OK


def _refuse(event: Event, pull: int, why: str) -> Exit:
    _reaction(event, "confused")
    _say(event, pull, why)
    return Exit.REFUSED


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """Why a command is not done, for the person who gave it."""


def _do(event: Event, number: int, user: str, command: Command) -> str:
    """What is to be said; nothing where the reaction says enough.

    Raises:
        Refused: why it is not done.
    """
    if command.verb == "help":
        return help_text()
    pull = pulls.get(event.api, number)
    if not pull.is_open and command.verb != "cancel":
        raise Refused("this pull request is closed; open it again first")
    if command.verb == "run":
        return _run(event, pull, user, command)
    if command.verb == "plan":  # the next step checks that commit out, as data, and plans it
        output(sha=pull.head, base=pull.base)
        return ""
    known = workflow_runs.of_pull(event.api, number)
    if command.verb == "cancel":
        ended = workflow_runs.cancel(event.api, known)
        return "" if ended else "no sweep of this pull request is running"
    return _rerun(event, pull, known)


def _run(event: Event, pull: Pull, user: str, command: Command) -> str:
    """Approve the head, and start a sweep of it."""
    if pull.head != command.sha:
        raise Refused(
            f"`{command.sha[:10]}` is not the head of this pull request any more, `{pull.head[:10]}` is; "
            f"look at it, then comment `/sweep run {pull.head}`"
        )
    approval.approve(event.api, pull.head, user, event.run_url)
    started = workflow_runs.start(event.api, pull.number, pull.head, command)
    with suppress(GitHubError):  # it is on its way all the same, and its last job tells how it ended
        said, url = "on its way", event.run_url
        if started:
            said, url = f"{said}; {queue.Queue(event.api).ahead(started.run)}", started.url
        pulls.status(event.api, pull.head, queue.CONTEXT, "pending", description=said, url=url)
    return ""


def _rerun(event: Event, pull: Pull, known: list[workflow_runs.Sweep]) -> str:
    last = known[0] if known else None
    if last is None:
        raise Refused(f"there was no sweep yet; start one: `/sweep run {pull.head}`")
    if last.status in workflow_runs.ALIVE:
        raise Refused("the last sweep is still running; `/sweep cancel` ends it")
    if last.sha != pull.head and approval.tree_digest(event.api, last.sha) != approval.tree_digest(
        event.api, pull.head
    ):
        raise Refused(
            f"the last sweep was of `{last.sha[:10]}`; start one of the head: `/sweep run {pull.head}`"
        )
    if last.conclusion == "success":
        raise Refused("nothing in the last sweep is broken")
    workflow_runs.rerun(event.api, last)
    with suppress(GitHubError):
        said = "what broke is measured again"
        pulls.status(event.api, last.sha, queue.CONTEXT, "pending", description=said, url=last.url)
    return ""


def to_plan(event: Event) -> Exit:
    """After the workflow `plan`: drop sweeps of what the pull request is not any more, and write the plan as a comment."""
    run = event.payload["workflow_run"]
    if run["event"] != "pull_request":
        return Exit.OK
    owner = (run.get("head_repository") or {}).get("owner", {}).get("login", "")
    found = pulls.at_commit(event.api, owner, run["head_branch"], run["head_sha"])
    for pull in found:
        _drop(event, pull)
    named = TITLE.fullmatch(str(run["display_title"]))  # of several with one branch, the one that was planned
    found = [pull for pull in found if pull.is_open and named and pull.number == int(named[1])]
    if not found:
        summary("The plan's pull request is closed, or has another head by now; nothing is written.\n")
        return Exit.OK
    parts = _plan_parts(event, int(run["id"]), str(run["conclusion"]), run["head_sha"], str(run["html_url"]))
    for pull in found:
        if pulls.get(event.api, pull.number).head == run["head_sha"]:  # a push may have come meanwhile
            summary(f"{comments.upsert(event.api, pull.number, 'plan', parts)}\n")
    return Exit.OK


def _drop(event: Event, pull: Pull) -> None:
    """End sweeps of other trees; the bot's own commit, which changes the changelog alone, ends none."""
    alive = [
        one for one in workflow_runs.of_pull(event.api, pull.number) if one.status in workflow_runs.ALIVE
    ]
    if not alive:
        return
    if pull.is_open:
        now = approval.tree_digest(event.api, pull.head)
        # a person's commit of the changelog alone has no approval
        ours = approval.is_approved(event.api, pull.head)
        alive = [
            one
            for one in alive
            if one.sha != pull.head and not (ours and approval.tree_digest(event.api, one.sha) == now)
        ]
    workflow_runs.cancel(event.api, alive)


def _plan_parts(event: Event, run: int, conclusion: str, head: str, url: str) -> list[str]:
    if conclusion != "success":
        return [f"**The plan of `{head[:10]}` failed** ([its log]({url}))\n"]
    try:
        plan = plan_artifact.read(event.api, run, ARTIFACT)
    except HarnessError as error:
        if error.exit_code is not Exit.ARTIFACT_INVALID:
            raise
        return [f"**The plan of `{head[:10]}` {escape(error.message)}** ([log]({url}))\n"]
    return plan_comment.parts(plan, head, new_images.new(plan, new_images.known()))


def _reaction(event: Event, content: str) -> None:
    event.api.call(
        "POST", f"issues/comments/{event.payload['comment']['id']}/reactions", {"content": content}
    )


def _say(event: Event, pull: int, text: str) -> None:
    event.api.call("POST", f"issues/{pull}/comments", {"body": text})
