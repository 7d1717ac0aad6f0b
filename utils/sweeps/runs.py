"""Sweeps as runs of the workflow `sweep.yml`: started, found by their title, cancelled, run again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.github.api import GitHubError

if TYPE_CHECKING:
    from utils.github.api import Api
    from utils.sweeps.command import Command

WORKFLOW = "sweep.yml"
ALIVE = ("queued", "in_progress", "waiting", "pending", "requested")
TITLE = re.compile(r"sweep #(\d+) ([0-9a-f]{40})")
"""The workflow's `run-name`, from inputs that only who may dispatch it can give."""
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
    """All of a pull request among the newest hundred, newest first."""
    return [one for one in _newest(api) if one.pull == pull]


def alive(api: Api) -> list[Sweep]:
    """Every sweep that is not over, oldest first."""
    return sorted((one for one in _newest(api) if one.status in ALIVE), key=lambda one: one.run)


def _newest(api: Api) -> list[Sweep]:
    answer = api.call("GET", f"actions/workflows/{WORKFLOW}/runs", per_page=100)
    return [
        Sweep(run["id"], int(match[1]), match[2], run["status"], run["conclusion"] or "", run["html_url"])
        for run in answer["workflow_runs"]
        if (match := TITLE.fullmatch(run["display_title"]))
    ]


def start(api: Api, pull: int, sha: str, command: Command) -> Sweep | None:
    """Dispatch the workflow on the default branch; None from a GitHub that does not tell the run."""
    branch = api.call("GET", f"/repos/{api.repository}")["default_branch"]
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
