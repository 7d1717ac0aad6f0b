"""Sweeps as runs of the workflow `sweep.yml`: started, found by who issued them, cancelled, run again.

A pull request may bring a file of that name, whose runs GitHub lists under the same workflow, with any title. So only runs that
were dispatched on the default branch of this repository count: nobody without write access can make one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from utils.github.api import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from utils.github.api import Api
    from utils.sweeps.command import Command

WORKFLOW = "sweep.yml"
ALIVE = ("queued", "in_progress", "waiting", "pending", "requested")
TITLE = re.compile(r"sweep #(\d{1,9}) ([0-9a-f]{40})")
"""The workflow's `run-name`: which pull request and commit it is of."""
MOST = 1000
"""Runs that are looked through, newest first: what GitHub gives at most."""
OVER = frozenset({404, 409})
"""Answers to the cancellation of a run that has ended meanwhile."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One run of the workflow."""

    run: int
    pull: int
    sha: str
    status: str
    conclusion: str
    url: str
    """Where a person sees it."""


def of_pull(api: Api, pull: int) -> list[Sweep]:
    """All of a pull request, newest first."""
    return [one for one in _known(api) if one.pull == pull]


def alive(api: Api) -> list[Sweep]:
    """Every sweep that is not over, oldest first."""
    return sorted((one for one in _known(api) if one.status in ALIVE), key=lambda one: one.run)


def _known(api: Api) -> Iterator[Sweep]:
    """Sweeps that the default branch's own workflow made, page by page."""
    branch = _default_branch(api)
    asked = {"event": "workflow_dispatch", "branch": branch}
    pages = api.pages(f"actions/workflows/{WORKFLOW}/runs", "workflow_runs", **asked)
    for run in islice(pages, MOST):
        match = TITLE.fullmatch(str(run["display_title"]))
        if match and _is_ours(run, api.repository, branch):
            yield Sweep(
                run["id"], int(match[1]), match[2], run["status"], run["conclusion"] or "", run["html_url"]
            )


def _is_ours(run: dict[str, Any], repository: str, branch: str) -> bool:
    """Whether a run was dispatched on the default branch of this repository: the query asks for that, and its answer is not believed."""
    return (
        run["event"] == "workflow_dispatch"
        and run["head_branch"] == branch
        and str(run["path"]).partition("@")[0] == f".github/workflows/{WORKFLOW}"
        and (run.get("head_repository") or {}).get("full_name") == repository
    )


def _default_branch(api: Api) -> str:
    return str(api.call("GET", f"/repos/{api.repository}")["default_branch"])


def start(api: Api, pull: int, sha: str, command: Command) -> Sweep | None:
    """Dispatch the workflow on the default branch; None from a GitHub that does not tell the run."""
    branch = _default_branch(api)
    inputs = {
        "pull": str(pull),
        "sha": sha,
        "selectors": " ".join(command.selectors),
        **{name: command.options.get(name, "") for name in ("runs", "pair", "budget")},
    }
    asked = {"ref": branch, "inputs": inputs, "return_run_details": True}
    answer = api.call("POST", f"actions/workflows/{WORKFLOW}/dispatches", asked)
    return Sweep(answer["workflow_run_id"], pull, sha, "queued", "", answer["html_url"]) if answer else None


def cancel(api: Api, sweeps: list[Sweep]) -> list[int]:
    """End those that are alive; one that ended by itself meanwhile is no failure."""
    ended = []
    for sweep in sweeps:
        if sweep.status not in ALIVE:
            continue
        try:
            api.call("POST", f"actions/runs/{sweep.run}/cancel")
        except GitHubError as error:
            if error.status not in OVER:
                raise
        else:
            ended.append(sweep.run)
    return ended


def rerun(api: Api, sweep: Sweep) -> None:
    """Run its failed jobs once more; jobs that went well are not measured again."""
    api.call("POST", f"actions/runs/{sweep.run}/rerun-failed-jobs")
