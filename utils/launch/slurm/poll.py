"""One query of the controller for all jobs of all launchers of a user, no more often than the cluster file allows."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.slurm import client
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.names import PREFIX, digest
from utils.launch.slurm.states import FORMAT, JobState, from_sacct, from_squeue
from utils.node import file_lock

if TYPE_CHECKING:
    from collections.abc import Callable

SACCT = (
    "sacct",
    "--noheader",
    "--parsable2",
    "--allocations",
    "--format=JobID,State,ExitCode,NodeList,JobName",
)


STARTS_S = 5.0
"""How long the accounting may take to say where a job's earlier starts were; all jobs of the run wait for it."""


def state_folder() -> Path:
    """Where launchers of one user on one controller meet: the poll's cache and the quarantine."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    which = os.environ.get("SLURM_CONF", "") + os.environ.get("SLURM_CLUSTERS", "")
    return base / "servematrix" / (digest(which, 8) if which else "default")


def squeue() -> str:
    """Ask now, whatever the cache holds: for a person's command, not for a loop."""
    return client.call(["squeue", "--me", "--states=all", "--noheader", f"--Format={FORMAT}"])


@dataclass(slots=True)
class Poll:
    """The jobs of this user, as of a moment that all launchers share."""

    folder: Path
    every_s: float
    query: Callable[[], str] = squeue
    asked_s: float = 0.0
    """When the answer that `jobs` holds was asked for: on the monotonic clock, which all processes of one boot share."""
    answered_s: float = 0.0
    """The same of the last query that was answered: a controller that is away says nothing about jobs."""
    jobs: list[JobState] = field(default_factory=list)
    failure: str = ""
    """Why the last query had no answer; empty when it had."""

    def check(self) -> None:
        """Whether launchers can meet here, before there is a job that nobody could follow.

        Raises:
            HarnessError: SETUP_FAILED.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "poll.lock").open("w") as lock:
                file_lock.hold(lock, self.folder, file_lock.OF_STATE, wait=False)
        except OSError as error:
            raise HarnessError(
                Exit.SETUP_FAILED,
                f"{self.folder} cannot be written ({error.strerror}), where launchers of one user meet; "
                "name another folder with XDG_STATE_HOME",
            ) from error

    def refresh(self, *, after_s: float = 0.0) -> bool:
        """Read the shared answer, asking anew if it is due; whether there is a newer one than before.

        Args:
            after_s: an answer that was asked for before this moment does not do.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "poll.lock").open("w") as lock:
            if not file_lock.hold(lock, self.folder, file_lock.OF_STATE, wait=False):
                return self._read()  # another launcher is asking right now
            newer = self._read()
            age = time.monotonic() - self.asked_s
            if self.asked_s > after_s and 0 <= age < self.every_s:
                return newer
            self._ask()
            return True

    def _ask(self) -> None:
        """One query; a failed one is remembered too, so that nobody hammers a controller that is down."""
        asked = time.monotonic()
        self.asked_s = asked  # kept here too, where the cache cannot be written
        try:
            self.jobs, self.failure = from_squeue(self.query(), of=f"{PREFIX}/"), ""
            self.answered_s = asked
        except SlurmError as error:
            self.failure = str(error)
        rows = [one.model_dump() for one in self.jobs]
        times = {"boot": _boot(), "asked_s": asked, "answered_s": self.answered_s}
        self._write({**times, "failure": self.failure, "jobs": rows})

    def _read(self) -> bool:
        try:
            content = json.loads((self.folder / "poll.json").read_bytes())
            if content["boot"] != _boot():
                return (
                    False  # of another machine, or of this one before it was started: its clock is not ours
                )
            jobs = [JobState.model_validate(row) for row in content["jobs"]]
            asked, failure = float(content["asked_s"]), str(content["failure"])
            answered = float(content["answered_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return False  # none yet, or of another version
        if asked <= self.asked_s:
            return False
        self.asked_s, self.answered_s, self.jobs, self.failure = asked, answered, jobs, failure
        return True

    def _write(self, content: object) -> None:
        private = self.folder / f".poll.{os.getpid()}"
        with contextlib.suppress(OSError):  # a full disk must not end a run
            private.write_text(json.dumps(content))
            private.replace(self.folder / "poll.json")


def _boot() -> str:
    """Which start of which machine the monotonic clock belongs to (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def accounted(job: int) -> JobState | None:
    """A job that the controller has forgotten, from the accounting; None where that is off, empty or does not answer.

    Without a database, Slurm before 23.11 also reads its job completion file (`sacct --completion`).
    """
    for more in ([], ["--completion"]):
        with contextlib.suppress(SlurmError):
            found = from_sacct(client.call([*SACCT, *more, f"--jobs={job}"], limit_s=20))
            if found:
                return found[-1]
    return None


def starts(job: int) -> list[JobState]:
    """Each start of a job, also those before Slurm began it again, from the accounting; none where that is off or does not answer soon.

    Also other jobs of that number, from before the numbers began anew (sacct(1), --duplicates).
    """
    try:
        return from_sacct(client.call([*SACCT, "--duplicates", f"--jobs={job}"], limit_s=STARTS_S))
    except SlurmError:
        return []
