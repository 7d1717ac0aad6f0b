"""Names of jobs: by them a launcher that was killed finds what it had started."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "servematrix"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose jobs they are."""

    repository: str
    pull: str
    """Number of the pull request; `0` outside of one."""
    head: str
    """12 hex of the commit."""
    run: str
    """8 hex of the checkout, `-`, and 8 of the results folder and the workflow run, so that a person may measure the same twice."""

    def job(self, job_id: str, attempt: int) -> str:
        """Slurm's name of one attempt at a job: `servematrix/repository/pull/head/run/job/attempt`."""
        return f"{self.prefix}{job_id}/{attempt}"

    @property
    def prefix(self) -> str:
        """What the names of all jobs of a run begin with."""
        return f"{PREFIX}/{self.repository}/{self.pull}/{self.head}/{self.run}/"


def identity(root: Path, commit: str, out: Path) -> Identity:
    """From the environment that Actions sets, else from the checkout and the results folder."""
    repository = os.environ.get("GITHUB_REPOSITORY", root.name)
    pull = re.search(r"refs/pull/(\d+)/", os.environ.get("GITHUB_REF", ""))
    number = os.environ.get("SERVEMATRIX_PULL") or (pull[1] if pull else "0")
    run = os.environ.get("GITHUB_RUN_ID", "") + str(out.absolute())
    return Identity(_word(repository), _word(number), commit[:12], f"{checkout(root)}-{digest(run, 8)}")


def checkout(root: Path) -> str:
    """Which checkout on which disk it is: a copy, or one of the same name elsewhere, is another one."""
    root = root.resolve()
    return digest(f"{root}\n{root.stat().st_ino}", 8)


def checkout_of(job_name: str) -> str:
    """The checkout that a job was submitted from; empty for a name of another shape, as older versions gave."""
    parts = job_name.split("/")
    return parts[4].rpartition("-")[0] if len(parts) == 7 else ""  # noqa: PLR2004 - as `Identity.job` joins them


def folder(job_name: str) -> str:
    """A job's own folder below the spool; short, because sockets in it have 108 bytes for their path."""
    return digest(job_name, 12)


def digest(text: str, letters: int) -> str:
    """Hex of a text's hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:letters]


def _word(text: str) -> str:
    """Without what Slurm or a shell would read as more than a name; the slash parts names here."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text) or "-"
