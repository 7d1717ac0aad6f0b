"""The part of GitHub's own description of its API that is in use (npm package @octokit/openapi), as a validator."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
OPERATIONS = {
    "/repos/{owner}/{repo}": "get",
    "/repos/{owner}/{repo}/pulls": "get post",
    "/repos/{owner}/{repo}/pulls/{pull_number}": "get",
    "/repos/{owner}/{repo}/issues/{issue_number}/comments": "get post",
    "/repos/{owner}/{repo}/issues/comments/{comment_id}": "patch",
    "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions": "post",
    "/repos/{owner}/{repo}/collaborators/{username}/permission": "get",
    "/repos/{owner}/{repo}/git/trees/{tree_sha}": "get",
    "/repos/{owner}/{repo}/commits/{ref}/statuses": "get",
    "/repos/{owner}/{repo}/commits/{ref}/check-runs": "get",
    "/repos/{owner}/{repo}/statuses/{sha}": "post",
    "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs": "get",
    "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches": "post",
    "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel": "post",
    "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs": "post",
    "/repos/{owner}/{repo}/actions/runs/{run_id}/artifacts": "get",
    "/repos/{owner}/{repo}/actions/permissions": "get",
    "/repos/{owner}/{repo}/actions/permissions/workflow": "get",
    "/repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval": "get",
    "/repos/{owner}/{repo}/actions/runners": "get",
    "/orgs/{org}/actions/runner-groups": "get",
    "/orgs/{org}/actions/runner-groups/{runner_group_id}/runners": "get",
    "/repos/{owner}/{repo}/rules/branches/{branch}": "get",
    "/repos/{owner}/{repo}/releases/latest": "get",
    "/repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}": "get",
}
"""What `utils.github` calls; a call of anything else is an error in a test."""


@cache
def whole() -> dict[str, Any]:
    """GitHub's description; npm fetches it once, by its lock."""
    path = MODULES / "@octokit/openapi/generated/api.github.com.json"
    if not path.exists():
        bundle = Path("/etc/ssl/certs/ca-certificates.crt")  # npm of the wheel knows only its own authorities
        ca = [f"--cafile={bundle}"] if bundle.exists() else []
        programs = Path(sys.executable).parent
        command = [
            str(programs / "npm"),
            "ci",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            *ca,
        ]
        found = f"{programs}:{os.environ['PATH']}"
        subprocess.run(command, cwd=FOLDER, check=True, env={**os.environ, "PATH": found})
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


@cache
def in_use() -> OpenAPI:
    """The operations in use, with every schema that they refer to, and nothing else."""
    every = whole()
    paths = {
        path: {
            name: operation
            for name, operation in every["paths"][path].items()
            if name in methods.split() or name == "parameters"
        }
        for path, methods in OPERATIONS.items()
    }
    made: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": every["info"],
        "servers": [{"url": "http://127.0.0.1"}],
        "paths": copy.deepcopy(paths),
        "components": {},
    }
    _without_examples(made["paths"])
    todo = list(_references(made["paths"]))
    while todo:
        _, _, kind, name = todo.pop().split("/")
        known = made["components"].setdefault(kind, {})
        if name not in known and kind != "examples":
            known[name] = copy.deepcopy(every["components"][kind][name])
            _without_examples(known[name])
            todo += _references(known[name])
    return OpenAPI.from_dict(made)


def example(name: str) -> Any:
    """One of the description's own examples, to be changed."""
    return copy.deepcopy(whole()["components"]["examples"][name]["value"])


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [one for value in part.values() for one in _references(value)]
    return [one for value in part for one in _references(value)] if isinstance(part, list) else []


def _without_examples(part: Any) -> None:
    if isinstance(part, dict):
        for word in ("examples", "example"):
            if not isinstance(part.get(word), dict) or "type" not in part[word]:
                part.pop(word, None)
        for value in part.values():
            _without_examples(value)
    elif isinstance(part, list):
        for value in part:
            _without_examples(value)


class Call:
    """A request as the validator wants it."""

    content_type = "application/json"

    def __init__(self, method: str, url: str, body: bytes) -> None:
        parts = urlsplit(url)
        self.host_url = "http://127.0.0.1"
        self.path = parts.path
        self.method = method.lower()
        self.body = body or None
        pairs = [pair.partition("=")[::2] for pair in parts.query.split("&") if pair]
        self.parameters = RequestParameters(query=ImmutableMultiDict(pairs), header=Headers(), path={})


class Answer:
    """An answer as the validator wants it."""

    content_type = "application/json"

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code = status
        self.data = body
        self.headers = Headers()


def check(call: Call, answer: Answer) -> str:
    """What is wrong with a call or its answer by GitHub's description; empty where nothing is."""
    try:
        in_use().validate_request(call)
        if answer.status_code < 300 and answer.data:
            in_use().validate_response(call, answer)
    except Exception as error:  # noqa: BLE001 - whatever the validator raises is the finding
        return f"{call.method} {call.path} {answer.status_code}: {_reasons(error)}"
    return ""


def _reasons(error: BaseException) -> str:
    """The innermost words of a validator's error, without the value that it complains of."""
    cause: BaseException | None = error
    while cause is not None:
        if found := getattr(cause, "schema_errors", None):
            return "; ".join(f"{'.'.join(map(str, one.absolute_path))}: {one.message[:150]}" for one in found)
        cause = cause.__cause__
    return f"{type(error).__name__}: {str(error)[:300]}"
