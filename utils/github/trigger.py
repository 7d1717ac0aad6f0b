"""What happened, as Actions tells it: the event's payload and the names in the environment.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.errors import Exit, HarnessError
from utils.github.api import Api


@dataclass(frozen=True, slots=True)
class Event:
    """The event that started this job."""

    name: str
    payload: dict[str, Any]
    repository: str
    server: str
    """Of the pages that people look at."""
    run: str
    """Number of this workflow's run."""
    api: Api

    def at(self, *path: str) -> Any:  # noqa: ANN401 - JSON
        """A value of the payload; None where anything on the way is missing."""
        value: Any = self.payload
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return value

    @property
    def run_url(self) -> str:
        """Where a person sees this run."""
        return f"{self.server}/{self.repository}/actions/runs/{self.run}"


def from_environment() -> Event:
    """The event of this job.

    Raises:
        HarnessError: USAGE outside of Actions.
    """
    missing = [
        name
        for name in ("GITHUB_EVENT_PATH", "GITHUB_EVENT_NAME", "GITHUB_REPOSITORY")
        if not os.environ.get(name)
    ]
    if missing:
        raise HarnessError(
            Exit.USAGE, f"{missing[0]} is not set; `servematrix github` is for jobs of GitHub Actions"
        )
    repository = os.environ["GITHUB_REPOSITORY"]
    return Event(
        name=os.environ["GITHUB_EVENT_NAME"],
        payload=json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_bytes()),
        repository=repository,
        server=os.environ.get("GITHUB_SERVER_URL", "https://github.com"),
        run=os.environ.get("GITHUB_RUN_ID", "0"),
        api=Api(
            os.environ.get("GITHUB_API_URL", "https://api.github.com"),
            repository,
            os.environ.get("GITHUB_TOKEN", ""),
        ),
    )


def summary(text: str) -> None:
    """Add to what the run's page shows."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a") as file:
            file.write(text)


def output(**values: str) -> None:
    """Outputs of the step; values are one line each."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            for name, value in values.items():
                if "\n" in value or "\r" in value:
                    raise ValueError(f"an output is one line: {name}")
                file.write(f"{name}={value}\n")
