"""A stand-in for GitHub's API: a server with state, faults on request, and every call and answer held against GitHub's description.

It is a FAKE: objects are the description's own examples with what matters changed; permissions of tokens are not played.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.github import description
from utils.github.comments import BOT

REPOSITORY = "acme/bench"


@dataclass
class Fault:
    """An answer instead of the real one, a few times."""

    method: str
    path: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "on purpose"
    done_all_the_same: bool = False
    """The call is taken, and only its answer is lost."""


@dataclass
class State:
    """What GitHub would know."""

    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    """Commit -> path -> object."""
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    """Commit -> how its checks ended."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    archives: dict[int, bytes] = field(default_factory=dict)
    dispatched: list[dict[str, Any]] = field(default_factory=list)
    reactions: list[tuple[int, str]] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    """Pull requests that were made."""
    cancelled: list[int] = field(default_factory=list)
    rerun: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What GitHub's description has against a call or an answer."""
    owner: str = "Organization"
    """`User` where the repository is a person's."""
    settings: str = "good"
    """`good`, or everything as it should not be."""
    number: int = 1000
    remote: str = ""
    """A repository on disk, for commits whose tree is asked for."""

    def next(self) -> int:
        """A number that nothing has."""
        self.number += 1
        return self.number

    def pull(
        self, number: int, head: str, *, branch: str = "change", state: str = "open", owner: str = "acme"
    ) -> None:
        """A pull request whose head is a commit."""
        one = description.example("pull-request")
        one |= {"number": number, "state": state, "requested_teams": []}  # the example's teams lack a type
        one["head"] |= {"sha": head, "ref": branch}
        one["head"]["repo"]["full_name"] = f"{owner}/bench"
        one["base"] |= {"sha": "b" * 40, "ref": "main"}
        self.pulls[number] = one
        self.comments.setdefault(number, [])

    def comment(self, pull: int, user: str, body: str) -> int:
        """Somebody says something."""
        one = description.example("issue-comment")
        one |= {"id": self.next(), "body": body}
        one["user"] |= {"login": user, "type": "Bot" if user.endswith("[bot]") else "User"}
        self.comments[pull].append(one)
        return int(one["id"])

    def sweep(self, pull: int, sha: str, status: str, conclusion: str | None = None) -> int:
        """A run of the workflow `sweep`, the newest."""
        one = description.example("workflow-run-paginated")["workflow_runs"][0]
        one |= {
            "id": self.next(),
            "display_title": f"sweep #{pull} {sha}",
            "status": status,
            "conclusion": conclusion,
            "event": "workflow_dispatch",
            "head_branch": "main",
            "path": ".github/workflows/sweep.yml",
        }
        one["head_repository"]["full_name"] = REPOSITORY
        self.runs.insert(0, one)
        return int(one["id"])

    def artifact(
        self, run: int, files: dict[str, bytes] | bytes, *, name: str = "plan", expired: bool = False
    ) -> None:
        """What a run left."""
        one = description.example("artifact-paginated")["artifacts"][0]
        one |= {"id": self.next(), "name": name, "expired": expired}
        self.artifacts.setdefault(run, []).append(one)
        packed = io.BytesIO()
        if isinstance(files, bytes):
            packed.write(files)
        else:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, content in files.items():
                    archive.writestr(path, content)
        self.archives[one["id"]] = packed.getvalue()

    def bodies(self, pull: int) -> list[str]:
        """What our bot said there."""
        return [one["body"] for one in self.comments[pull] if one["user"]["login"] == BOT]


Reply = tuple[int, Any]


class _Routes:
    """What each call does."""

    def __init__(self, state: State, url: str) -> None:
        self.state, self.url = state, url

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply | bytes:
        for pattern, name in _TABLE:
            wanted, _, rest = pattern.partition(" ")
            start = "" if rest.startswith("/orgs/") else f"/repos/{REPOSITORY}"
            if wanted == method and (match := re.fullmatch(f"{start}{rest}", path)):
                reply: Reply | bytes = getattr(self, name)(*match.groups(), query=query, body=body)
                return reply
        return 404, {"message": "Not Found"}

    def repository(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        one = description.example("full-repository-default-response") | {"default_branch": "main"}
        one["owner"] |= {"login": "acme", "type": self.state.owner}
        for part in (one, one["source"], one["parent"]):
            part["language"] = "Python"  # the example lacks what the schema asks for
        return 200, one

    def list_pulls(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        owner, _, branch = query.get("head", ":").partition(":")
        simple = description.example("pull-request-simple-items")[0]
        return 200, [
            {name: one.get(name, value) for name, value in simple.items()}
            for one in self.state.pulls.values()
            if not branch
            or (one["head"]["ref"] == branch and one["head"]["repo"]["full_name"].startswith(f"{owner}/"))
        ]

    def make_pull(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        number = self.state.next()
        self.state.pull(number, "e" * 40, branch=body["head"])
        self.state.opened.append(body)
        return 201, self.state.pulls[number]

    def one_pull(self, number: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        one = self.state.pulls.get(int(number))
        return (200, one) if one else (404, {"message": "Not Found"})

    def list_comments(self, number: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        known, page, size = (
            self.state.comments.get(int(number), []),
            int(query["page"]),
            int(query["per_page"]),
        )
        return 200, known[(page - 1) * size : page * size]

    def make_comment(self, number: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        made = self.state.comment(int(number), BOT, body["body"])
        return 201, next(one for one in self.state.comments[int(number)] if one["id"] == made)

    def change_comment(self, number: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        for known in self.state.comments.values():
            for one in known:
                if one["id"] == int(number):
                    one["body"] = body["body"]
                    return 200, one
        return 404, {"message": "Not Found"}

    def react(self, number: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        self.state.reactions.append((int(number), body["content"]))
        return 201, description.example("reaction") | {"content": body["content"]}

    def permission(self, user: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        known = self.state.permissions.get(user)
        if known is None:
            return 404, {"message": "Not Found"}
        one = description.example("repository-collaborator-permission-response-if-user-has-admin-permissions")
        one["user"] |= {"login": user, "role_name": known}  # the example lacks what the schema asks for
        return 200, one | {"permission": known, "role_name": known}

    def tree(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
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

    def list_statuses(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        return 200, list(reversed(self.state.statuses.get(sha, [])))

    def check_runs(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        conclusion = self.state.checks.get(sha)
        if not conclusion:
            return 200, {"total_count": 0, "check_runs": []}
        one = description.example("check-run-paginated")["check_runs"][0]
        return 200, {
            "total_count": 1,
            "check_runs": [one | {"name": query["check_name"], "conclusion": conclusion}],
        }

    def make_status(self, sha: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        one = description.example("status") | body | {"id": self.state.next()}
        one["creator"] |= {"login": BOT}
        self.state.statuses.setdefault(sha, []).append(one)
        return 201, one

    def list_runs(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        found = self.state.runs[size * (page - 1) : size * page]
        return 200, {"total_count": len(self.state.runs), "workflow_runs": found}

    def dispatch(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        self.state.dispatched.append(body)
        run = self.state.sweep(int(body["inputs"]["pull"]), body["inputs"]["sha"], "queued")
        if not body.get("return_run_details"):
            return 204, None
        return 200, {
            "workflow_run_id": run,
            "run_url": f"https://api.github.com/repos/{REPOSITORY}/actions/runs/{run}",
            "html_url": f"https://github.com/{REPOSITORY}/actions/runs/{run}",
        }

    def cancel(self, run: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        self.state.cancelled.append(int(run))
        return 202, {}

    def run_again(self, run: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        self.state.rerun.append(int(run))
        return 201, {}

    def list_artifacts(self, run: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        known = self.state.artifacts.get(int(run), [])
        return 200, {"total_count": len(known), "artifacts": known}

    def workflow_token(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        good = self.state.settings == "good"
        rights = {"default_workflow_permissions": "read" if good else "write"}
        return 200, rights | {"can_approve_pull_request_reviews": good}

    def permissions_of_actions(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        return 200, {
            "enabled": True,
            "allowed_actions": "selected" if self.state.settings == "good" else "all",
        }

    def forks(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        good = self.state.settings == "good"
        return 200, {"approval_policy": "all_external_contributors" if good else "first_time_contributors"}

    def runners(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        one = description.example("runner-paginated")["runners"][0]
        one["labels"] = [{"name": "servematrix"}]
        one["status"] = "offline"
        bad = [] if self.state.settings == "good" else [one]
        return 200, {"total_count": len(bad), "runners": bad}

    def runner_groups(self, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        groups = description.example("runner-groups-org")["runner_groups"][:2]
        names = ["sweep", "nightly"] if self.state.settings == "good" else ["sweep", "plan"]
        groups[1]["selected_workflows"] = [
            f"{REPOSITORY}/.github/workflows/{name}.yml@refs/heads/main" for name in names
        ]
        return 200, {"total_count": 2, "runner_groups": groups}

    def runners_of(self, group: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
        one = description.example("runner-paginated")["runners"][0]
        one["labels"] = [{"name": "servematrix" if group == "2" else "other"}]
        one["status"] = "online" if self.state.settings == "good" else "offline"
        return 200, {"total_count": 1, "runners": [one]}

    def rules(self, branch: str, *, query: dict[str, str], body: Any) -> Reply:  # noqa: ARG002
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

    def archive(self, number: str, *, query: dict[str, str], body: Any) -> Reply | bytes:  # noqa: ARG002
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


class StandIn:
    """The server; used as a context manager."""

    def __init__(self) -> None:
        self.state = State()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def do(self) -> None:
            state = stand_in.state
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, query = (
                urlsplit(self.path).path,
                {n: v[0] for n, v in parse_qs(urlsplit(self.path).query).items()},
            )
            if path.startswith(
                "/blob/"
            ):  # where GitHub keeps archives: another host, which must not see a token
                if self.headers.get("authorization"):
                    state.problems.append("the token was sent to where archives are kept")
                self.send(200, state.archives[int(path.split("/")[2])], {})
                return
            state.calls.append(f"{self.command} {path}")
            fault = next(
                (
                    one
                    for one in state.faults
                    if one.times and one.method == self.command and re.search(one.path, path)
                ),
                None,
            )
            if fault:
                fault.times -= 1
                if fault.done_all_the_same:
                    self.real(path, query, content)
                self.send(fault.status, json.dumps({"message": fault.message}).encode(), fault.headers)
                return
            status, body, headers = self.real(path, query, content)
            wrong = description.check(
                description.Call(self.command, self.path, content), description.Answer(status, body)
            )
            if wrong:
                state.problems.append(wrong)
            self.send(status, body, headers)

        def real(self, path: str, query: dict[str, str], content: bytes) -> tuple[int, bytes, dict[str, str]]:
            routes = _Routes(stand_in.state, stand_in.url)
            reply = routes.answer(self.command, path, query, json.loads(content) if content else None)
            if isinstance(reply, bytes):
                number = path.split("/")[-2]
                other = stand_in.url.replace("127.0.0.1", "localhost")
                return 302, b"", {"location": f"{other}/blob/{number}"}
            status, body = reply
            return status, b"" if body is None else json.dumps(body).encode(), {}

        def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do  # noqa: N815 - names of http.server

    return Handler
