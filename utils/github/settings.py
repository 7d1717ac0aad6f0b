"""What no file says of a repository: settings that the workflows' safety rests on, each with what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.github.api import GitHubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from utils.github.api import Api

LABEL = "servematrix"
REQUIRED = ("lint and test",)
"""Names of checks that a merge should wait for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One setting."""

    name: str
    good: bool | None
    """None where the token may not see it."""
    found: str
    advice: str = ""


def look(api: Api) -> list[Finding]:
    """Every setting, in the order in which one would mend them."""
    branch = api.call("GET", f"/repos/{api.repository}")["default_branch"]
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += check(api, branch)
        except GitHubError as error:
            advice = "let somebody with admin rights run this: GITHUB_TOKEN=… ./servematrix doctor --github"
            found.append(Finding(name, None, f"cannot be seen ({error.status})", advice))
    return found


def _token(api: Api, branch: str) -> Iterator[Finding]:
    del branch
    answer = api.call("GET", "actions/permissions/workflow")
    read = answer["default_workflow_permissions"] == "read"
    yield Finding(
        "default rights of a job's token",
        read,
        answer["default_workflow_permissions"],
        "Settings, Actions, General, Workflow permissions: read repository contents",
    )
    approve = bool(answer["can_approve_pull_request_reviews"])
    yield Finding(
        "Actions may make pull requests",
        approve,
        "yes" if approve else "no",
        "the same page: allow it, for figures of the default branch come by pull request; the rule below asks for a person's review",
    )


def _actions(api: Api, branch: str) -> Iterator[Finding]:
    del branch
    allowed = api.call("GET", "actions/permissions").get("allowed_actions", "all")
    yield Finding(
        "which actions may run",
        allowed != "all",
        allowed,
        "Settings, Actions, General: allow actions of GitHub and named ones only",
    )


def _forks(api: Api, branch: str) -> Iterator[Finding]:
    del branch
    policy = api.call("GET", "actions/permissions/fork-pr-contributor-approval")["approval_policy"]
    yield Finding(
        "who waits for approval to run workflows of a fork",
        policy == "all_external_contributors",
        policy,
        "Settings, Actions, General, fork pull requests: require approval for all external contributors",
    )


def _runners(api: Api, branch: str) -> Iterator[Finding]:
    del branch
    runners = [
        one
        for one in api.pages("actions/runners", "runners")
        if LABEL in {label["name"] for label in one["labels"]}
    ]
    online = [one["name"] for one in runners if one["status"] == "online"]
    yield Finding(
        f"runners with the label {LABEL}",
        bool(online),
        ", ".join(online) or ("none is online" if runners else "none"),
        f"register the cluster's launcher host as a runner with the label {LABEL}, in a group that only sweep.yml and nightly.yml of {api.repository} may use",
    )


def _branch(api: Api, branch: str) -> Iterator[Finding]:
    rules: list[dict[str, Any]] = list(api.call("GET", f"rules/branches/{branch}"))
    kinds = {rule["type"] for rule in rules}
    for kind, what in (
        ("pull_request", "changes come by pull request"),
        ("non_fast_forward", "nobody can force-push"),
        ("deletion", "nobody can delete it"),
    ):
        yield Finding(
            f"{branch}: {what}",
            kind in kinds,
            "yes" if kind in kinds else "no",
            "Settings, Rules, Rulesets: add the rule for the default branch",
        )
    checks = {
        check["context"]
        for rule in rules
        if rule["type"] == "required_status_checks"
        for check in rule["parameters"]["required_status_checks"]
    }
    missing = [name for name in REQUIRED if name not in checks]
    yield Finding(
        f"{branch}: required checks",
        not missing,
        ", ".join(sorted(checks)) or "none",
        f"the same ruleset: require the status check {', '.join(missing)}",
    )


CHECKS: dict[str, Callable[[Api, str], Iterator[Finding]]] = {
    "rights of a job's token": _token,
    "which actions may run": _actions,
    "approval of forks": _forks,
    "runners": _runners,
    "rules of the default branch": _branch,
}
