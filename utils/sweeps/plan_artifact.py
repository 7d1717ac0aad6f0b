"""A plan that another job left as an artifact: somebody's data, checked by its schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from utils.github import artifact

if TYPE_CHECKING:
    from utils.github.api import Api

FILE = "plan.json"


def read(api: Api, run: int, name: str) -> Plan:
    """The plan in a run's newest artifact of a name.

    Raises:
        HarnessError: ARTIFACT_INVALID where there is none, where it has expired, and where it is no plan; the message
            goes on after "the plan".
        GitHubError: where GitHub does not give it.
    """
    known = [one for one in api.pages(f"actions/runs/{run}/artifacts", "artifacts") if one["name"] == name]
    newest = max(known, key=lambda one: int(one["id"]), default=None)
    if newest is None or newest["expired"]:
        raise HarnessError(Exit.ARTIFACT_INVALID, "is not kept any more; run the workflow again")
    content = api.download(f"actions/artifacts/{newest['id']}/zip", artifact.MOST_PACKED)
    try:
        found = artifact.one_file(content, FILE)
    except HarnessError as error:
        raise HarnessError(Exit.ARTIFACT_INVALID, f"cannot be read: {error.message}") from error
    return parsed(found)


def parsed(content: bytes) -> Plan:
    """A plan's file, by its schema.

    Raises:
        HarnessError: ARTIFACT_INVALID; the message goes on after "the plan".
    """
    try:
        return Plan.from_json(json.loads(content))
    except (
        ValueError,
        ValidationError,
        RecursionError,
        AttributeError,
        TypeError,
        OverflowError,
    ) as error:
        raise HarnessError(
            Exit.ARTIFACT_INVALID,
            f"cannot be read ({type(error).__name__}); push again, so that plan.yml makes it anew",
        ) from error
