"""What each call of GitHub's API does to the stand-in's state, and what it answers."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from tests.conftest import ROOT
from tests.github import description
from tests.github.state import REPOSITORY, State
from utils.github import pinned_actions
from utils.github.comments import BOT

Reply = tuple[int, Any]


class Routes:
    """What each call does."""

    def __init__(self, state: State, url: str) -> None:
        self.state, self.url = state, url

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply | bytes:
        for pattern, name in _TABLE:
            wanted, _, rest = pattern.partition(" ")
            start = "" if rest.startswith(("/orgs/", "/repos/")) else f"/repos/{REPOSITORY}"
            if wanted == method and (match := re.fullmatch(f"{start}{rest}", path)):
                reply: Reply | bytes = getattr(self, name)(*match.groups(), query=query, body=body)
                return reply
        return 404, {"message": "Not Found"}

    def repository(self, *, query: dict[str, str], body: Any) -> Reply:
        one = description.example("full-repository-default-response") | {"default_branch": "main"}
        one["owner"] |= {"login": "acme", "type": self.state.owner}
        for part in (one, one["source"], one["parent"]):
            part["language"] = "Python"  # the example lacks what the schema asks for
        return 200, one

    def list_pulls(self, *, query: dict[str, str], body: Any) -> Reply:
        owner, _, branch = query.get("head", ":").partition(":")
        simple = description.example("pull-request-simple-items")[0]
        return 200, [
            {name: one.get(name, value) for name, value in simple.items()}
            for one in self.state.pulls.values()
            if not branch
            or (one["head"]["ref"] == branch and one["head"]["repo"]["full_name"].startswith(f"{owner}/"))
        ]

    def make_pull(self, *, query: dict[str, str], body: Any) -> Reply:
        number = self.state.next()
        self.state.pull(number, "e" * 40, branch=body["head"])
        self.state.opened.append(body)
        return 201, self.state.pulls[number]

    def one_pull(self, number: str, *, query: dict[str, str], body: Any) -> Reply:
        one = self.state.pulls.get(int(number))
        return (200, one) if one else (404, {"message": "Not Found"})

    def list_comments(self, number: str, *, query: dict[str, str], body: Any) -> Reply:
        known, page, size = (
            self.state.comments.get(int(number), []),
            int(query["page"]),
            int(query["per_page"]),
        )
        return 200, known[(page - 1) * size : page * size]

    def make_comment(self, number: str, *, query: dict[str, str], body: Any) -> Reply:
        made = self.state.comment(int(number), BOT, body["body"])
        return 201, next(one for one in self.state.comments[int(number)] if one["id"] == made)

    def change_comment(self, number: str, *, query: dict[str, str], body: Any) -> Reply:
        for known in self.state.comments.values():
            for one in known:
                if one["id"] == int(number):
                    one["body"] = body["body"]
                    return 200, one
        return 404, {"message": "Not Found"}

    def react(self, number: str, *, query: dict[str, str], body: Any) -> Reply:
        self.state.reactions.append((int(number), body["content"]))
        return 201, description.example("reaction") | {"content": body["content"]}

    def permission(self, user: str, *, query: dict[str, str], body: Any) -> Reply:
        known = self.state.permissions.get(user)
        if known is None:
            return 404, {"message": "Not Found"}
        one = description.example("repository-collaborator-permission-response-if-user-has-admin-permissions")
        one["user"] |= {"login": user, "role_name": known}  # the example lacks what the schema asks for
        return 200, one | {"permission": known, "role_name": known}

    def tree(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:
        files = self.state.trees.get(sha)
        if files is None and self.state.remote:
            listed = subprocess.run(
                ["git", "-C", self.state.remote, "ls-tree", sha], capture_output=True, text=True, check=False
            )
            files = {line.split("\t")[1]: line.split()[2] for line in listed.stdout.splitlines()}
        if not files:
            return 404, {"message": "Not Found"}
        entries = [
            {"path": p, "mode": "100644", "type": "blob", "sha": o, "size": 1} for p, o in files.items()
        ]
        return 200, {"sha": sha, "url": f"{self.url}/tree", "truncated": False, "tree": entries}

    def list_statuses(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:
        return 200, list(reversed(self.state.statuses.get(sha, [])))

    def check_runs(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:
        conclusion = self.state.checks.get(sha)
        if not conclusion:
            return 200, {"total_count": 0, "check_runs": []}
        one = description.example("check-run-paginated")["check_runs"][0]
        return 200, {
            "total_count": 1,
            "check_runs": [one | {"name": query["check_name"], "conclusion": conclusion}],
        }

    def make_status(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:
        one = description.example("status") | body | {"id": self.state.next()}
        one["creator"] |= {"login": BOT}
        self.state.statuses.setdefault(sha, []).append(one)
        return 201, one

    def list_runs(self, *, query: dict[str, str], body: Any) -> Reply:
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        found = self.state.runs[size * (page - 1) : size * page]
        return 200, {"total_count": len(self.state.runs), "workflow_runs": found}

    def dispatch(self, *, query: dict[str, str], body: Any) -> Reply:
        self.state.dispatched.append(body)
        run = self.state.sweep(int(body["inputs"]["pull"]), body["inputs"]["sha"], "queued")
        if not body.get("return_run_details"):
            return 204, None
        return 200, {
            "workflow_run_id": run,
            "run_url": f"https://api.github.com/repos/{REPOSITORY}/actions/runs/{run}",
            "html_url": f"https://github.com/{REPOSITORY}/actions/runs/{run}",
        }

    def cancel(self, run: str, *, query: dict[str, str], body: Any) -> Reply:
        self.state.cancelled.append(int(run))
        return 202, {}

    def run_again(self, run: str, *, query: dict[str, str], body: Any) -> Reply:
        self.state.rerun.append(int(run))
        return 201, {}

    def list_artifacts(self, run: str, *, query: dict[str, str], body: Any) -> Reply:
        known = self.state.artifacts.get(int(run), [])
        return 200, {"total_count": len(known), "artifacts": known}

    def workflow_token(self, *, query: dict[str, str], body: Any) -> Reply:
        good = self.state.settings == "good"
        rights = {"default_workflow_permissions": "read" if good else "write"}
        return 200, rights | {"can_approve_pull_request_reviews": good}

    def permissions_of_actions(self, *, query: dict[str, str], body: Any) -> Reply:
        return 200, {
            "enabled": True,
            "allowed_actions": "selected" if self.state.settings == "good" else "all",
        }

    def forks(self, *, query: dict[str, str], body: Any) -> Reply:
        good = self.state.settings == "good"
        return 200, {"approval_policy": "all_external_contributors" if good else "first_time_contributors"}

    def runners(self, *, query: dict[str, str], body: Any) -> Reply:
        one = description.example("runner-paginated")["runners"][0]
        one["labels"] = [{"name": "servematrix"}]
        one["status"] = "offline"
        bad = [] if self.state.settings == "good" else [one]
        return 200, {"total_count": len(bad), "runners": bad}

    def runner_groups(self, *, query: dict[str, str], body: Any) -> Reply:
        groups = description.example("runner-groups-org")["runner_groups"][:2]
        names = ["sweep", "nightly"] if self.state.settings == "good" else ["sweep", "plan"]
        groups[1]["selected_workflows"] = [
            f"{REPOSITORY}/.github/workflows/{name}.yml@refs/heads/main" for name in names
        ]
        return 200, {"total_count": 2, "runner_groups": groups}

    def runners_of(self, group: str, *, query: dict[str, str], body: Any) -> Reply:
        one = description.example("runner-paginated")["runners"][0]
        one["labels"] = [{"name": "servematrix" if group == "2" else "other"}]
        one["status"] = "online" if self.state.settings == "good" else "offline"
        return 200, {"total_count": 1, "runners": [one]}

    def rules(self, branch: str, *, query: dict[str, str], body: Any) -> Reply:
        if self.state.settings != "good":
            return 200, []
        about = {"ruleset_source_type": "Repository", "ruleset_source": REPOSITORY, "ruleset_id": 1}
        review = {
            "dismiss_stale_reviews_on_push": False,
            "require_code_owner_review": False,
            "require_last_push_approval": False,
            "required_approving_review_count": 1,
            "required_review_thread_resolution": False,
        }
        checks = {
            "required_status_checks": [{"context": "lint and test"}],
            "strict_required_status_checks_policy": True,
        }
        return 200, [
            {"type": "pull_request", "parameters": review, **about},
            {"type": "non_fast_forward", **about},
            {"type": "deletion", **about},
            {"type": "update", **about},
            {"type": "required_status_checks", "parameters": checks, **about},
        ]

    def release(self, name: str, *, query: dict[str, str], body: Any) -> Reply:
        used = {pin.action.split("/")[1]: pin.version for pin in pinned_actions.read(ROOT)}
        newest = used.get(name, "v1") if self.state.settings == "good" else "v99.0.0"
        return 200, description.example("release") | {"tag_name": newest}

    def archive(self, number: str, *, query: dict[str, str], body: Any) -> Reply | bytes:
        return self.state.archives.get(int(number), (410, {"message": "Artifact has expired"}))


_TABLE = (
    ("GET ", "repository"),
    ("GET /actions/permissions/workflow", "workflow_token"),
    ("GET /actions/permissions/fork-pr-contributor-approval", "forks"),
    ("GET /actions/permissions", "permissions_of_actions"),
    ("GET /actions/runners", "runners"),
    ("GET /orgs/acme/actions/runner-groups", "runner_groups"),
    (r"GET /orgs/acme/actions/runner-groups/(\d+)/runners", "runners_of"),
    (r"GET /rules/branches/(\w+)", "rules"),
    (r"GET /repos/actions/([\w-]+)/releases/latest", "release"),
    ("GET /pulls", "list_pulls"),
    ("POST /pulls", "make_pull"),
    (r"GET /pulls/(\d+)", "one_pull"),
    (r"GET /issues/(\d+)/comments", "list_comments"),
    (r"POST /issues/(\d+)/comments", "make_comment"),
    (r"PATCH /issues/comments/(\d+)", "change_comment"),
    (r"POST /issues/comments/(\d+)/reactions", "react"),
    (r"GET /collaborators/([^/]+)/permission", "permission"),
    (r"GET /git/trees/([0-9a-f]{40})", "tree"),
    (r"GET /commits/([0-9a-f]{40})/statuses", "list_statuses"),
    (r"GET /commits/([0-9a-f]{40})/check-runs", "check_runs"),
    (r"POST /statuses/([0-9a-f]{40})", "make_status"),
    (r"GET /actions/workflows/sweep.yml/runs", "list_runs"),
    (r"POST /actions/workflows/sweep.yml/dispatches", "dispatch"),
    (r"POST /actions/runs/(\d+)/cancel", "cancel"),
    (r"POST /actions/runs/(\d+)/rerun-failed-jobs", "run_again"),
    (r"GET /actions/runs/(\d+)/artifacts", "list_artifacts"),
    (r"GET /actions/artifacts/(\d+)/zip", "archive"),
)
