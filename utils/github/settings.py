"""What no file says of a repository: settings that the workflows' safety rests on, each with what to change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from utils.github import pinned_actions
from utils.github.api import GitHubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from utils.github.api import Api
    from utils.github.pinned_actions import Pin

DATA = "data"
"""The branch with raw records and the ledger."""
REQUIRED = ("lint and test",)
"""Names of checks that a merge should wait for."""
ON_RUNNERS = ("sweep.yml", "nightly.yml")
"""Workflows with jobs on machines of ours."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    good: bool | None
    """None where the token may not see it."""
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """Whose settings are looked at."""

    api: Api
    branch: str
    """The default one."""
    organisation: str
    """Empty where it is a person's."""
    labels: tuple[str, ...]
    """Of the runners that sweeps ask for."""
    pins: tuple[Pin, ...]
    """Actions of others that the workflows use."""

    def wants(self, runner: dict[str, Any]) -> bool:
        """Whether sweeps would go to it."""
        return not _labels(runner).isdisjoint(label.lower() for label in self.labels)


def look(api: Api, labels: Iterable[str], used: Iterable[Pin] = ()) -> list[Setting]:
    """Every setting, in the order in which one would fix them.

    Args:
        api: with a token that may read the repository's administration.
        labels: of the runners that the clusters name.
        used: actions of others that the workflows use.
    """
    answer = api.call("GET", f"/repos/{api.repository}")
    owner = answer["owner"]["login"] if answer["owner"]["type"] == "Organization" else ""
    about = Repository(api, answer["default_branch"], owner, tuple(sorted(set(labels))), tuple(used))
    found: list[Setting] = []
    for name, check in CHECKS.items():
        try:
            for one in check(about):  # what was seen before a refusal stays
                found.append(one)  # noqa: PERF402
        except GitHubError as error:
            advice = "let somebody with admin rights run this: GITHUB_TOKEN=… ./servematrix doctor --github"
            found.append(Setting(name, None, f"cannot be seen ({error.status})", advice))
    return found


def _token(about: Repository) -> Iterator[Setting]:
    answer = about.api.call("GET", "actions/permissions/workflow")
    read = answer["default_workflow_permissions"] == "read"
    yield Setting(
        "default rights of a job's token",
        read,
        answer["default_workflow_permissions"],
        "Settings, Actions, General, Workflow permissions: read repository contents",
    )
    approve = bool(answer["can_approve_pull_request_reviews"])
    yield Setting(
        "Actions may make pull requests",
        approve,
        "yes" if approve else "no",
        "the same page: allow it, for figures of the default branch come by pull request; the rule below asks for a person's review",
    )


def _actions(about: Repository) -> Iterator[Setting]:
    allowed = about.api.call("GET", "actions/permissions").get("allowed_actions", "all")
    yield Setting(
        "which actions may run",
        allowed != "all",
        allowed,
        "Settings, Actions, General: allow actions of GitHub and named ones only",
    )


def _forks(about: Repository) -> Iterator[Setting]:
    policy = about.api.call("GET", "actions/permissions/fork-pr-contributor-approval")["approval_policy"]
    yield Setting(
        "who waits for approval to run workflows of a fork",
        policy == "all_external_contributors",
        policy,
        "Settings, Actions, General, fork pull requests: require approval for all external contributors",
    )


def _runners(about: Repository) -> Iterator[Setting]:
    """Runners of the repository itself, and those of groups, which alone can keep a branch's own workflows away from them."""
    own = list(about.api.pages("actions/runners", "runners"))
    if alone := [one["name"] for one in own if about.wants(one)]:
        yield Setting(
            "runners in a group",
            good=False,
            found=f"{', '.join(alone)} of the repository itself",
            advice="a workflow of any branch may use them: register them with the organisation, in a group for "
            + " and ".join(_allowed(about)),
        )
    known = list(own)
    groups: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if about.organisation:
        start, name = f"/orgs/{about.organisation}/actions/runner-groups", about.api.repository.split("/")[1]
        for group in about.api.pages(start, "runner_groups", visible_to_repository=name):
            members = list(about.api.pages(f"{start}/{group['id']}/runners", "runners"))
            groups.append((group, members))
            known += members
    for label in about.labels:
        mine = [one for one in known if label.lower() in _labels(one)]
        online = [one["name"] for one in mine if one["status"] == "online"]
        yield Setting(
            f"runners with the label {label}",
            bool(online),
            ", ".join(online) or ("none is online" if mine else "none"),
            f"register the cluster's launcher host as a runner with the label {label}, in a group of the organisation",
        )
    for group, members in groups:
        if any(about.wants(one) for one in members):
            yield _group(about, group)


def _group(about: Repository, group: dict[str, Any]) -> Setting:
    allowed = set(group.get("selected_workflows") or ()) if group.get("restricted_to_workflows") else {"*"}
    good = bool(allowed) and allowed <= set(_allowed(about))
    return Setting(
        f"workflows that may use the runner group {group['name']}",
        good,
        "every one" if allowed == {"*"} else ", ".join(sorted(allowed)) or "none",
        f"the organisation's Settings, Actions, Runner groups, {group['name']}, Workflow access: "
        + " and ".join(_allowed(about)),
    )


def _allowed(about: Repository) -> list[str]:
    start = f"{about.api.repository}/.github/workflows"
    return [f"{start}/{name}@refs/heads/{about.branch}" for name in ON_RUNNERS]


def _labels(runner: dict[str, Any]) -> set[str]:
    return {label["name"].lower() for label in runner["labels"]}


def _each_rule(
    branch: str, rules: Iterable[dict[str, Any]], own: tuple[str, str], advice: str
) -> Iterator[Setting]:
    """Whether a branch has a rule of its own kind, and those that keep its history."""
    kinds = {rule["type"] for rule in rules}
    for kind, what in (
        own,
        ("non_fast_forward", "nobody can force-push"),
        ("deletion", "nobody can delete it"),
    ):
        there = kind in kinds
        yield Setting(f"{branch}: {what}", there, "yes" if there else "no", advice)


def _branch(about: Repository) -> Iterator[Setting]:
    branch = about.branch
    rules: list[dict[str, Any]] = list(about.api.call("GET", f"rules/branches/{branch}"))
    yield from _each_rule(
        branch,
        rules,
        ("pull_request", "changes come by pull request"),
        "Settings, Rules, Rulesets: add the rule for the default branch",
    )
    checks = {
        check["context"]
        for rule in rules
        if rule["type"] == "required_status_checks"
        for check in rule["parameters"]["required_status_checks"]
    }
    missing = [name for name in REQUIRED if name not in checks]
    yield Setting(
        f"{branch}: required checks",
        not missing,
        ", ".join(sorted(checks)) or "none",
        f"the same ruleset: require the status check {', '.join(missing)}",
    )


def _data(about: Repository) -> Iterator[Setting]:
    """The branch with records and ledger: what a verdict reads is only as safe as whoever may push to it."""
    yield from _each_rule(
        DATA,
        about.api.call("GET", f"rules/branches/{DATA}"),
        ("update", "only the workflows push"),
        f"Settings, Rules, Rulesets: add the rule for the branch {DATA}; let GitHub Actions alone bypass it",
    )


def _pins(about: Repository) -> Iterator[Setting]:
    """Actions by their newest release; one that GitHub does not name is said, and the others are looked at all the same."""
    for pin in about.pins:
        name = f"pinned action {pin.action}"
        try:
            latest = about.api.call("GET", f"/repos/{pin.action}/releases/latest")
        except GitHubError as error:
            yield Setting(
                name, None, f"its newest release cannot be seen ({error.status})", "look at it by hand"
            )
            continue
        good, found = pinned_actions.judge(pin, latest, datetime.now(UTC))
        yield Setting(
            name,
            good,
            found,
            f"read what changed from {pin.version or pin.commit} on, then pin the newest release's commit (Dependabot has a change for it)",
        )


CHECKS: dict[str, Callable[[Repository], Iterator[Setting]]] = {
    "rights of a job's token": _token,
    "which actions may run": _actions,
    "approval of forks": _forks,
    "runners": _runners,
    "rules of the default branch": _branch,
    f"rules of the branch {DATA}": _data,
    "pinned actions": _pins,
}
