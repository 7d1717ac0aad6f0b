"""Errors that a person can act on, and the exit codes they end in."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Exit(enum.IntEnum):
    """Exit codes of `servematrix`. When a run has several outcomes, the largest code below 100 is its own."""

    OK = 0, "everything asked for was done"
    BUG = 1, "an error in servematrix itself; the traceback is shown"
    USAGE = 2, "the command line was not understood"
    CHECK_FAILED = 3, "`check`, `test`, `upstream` or `pin --check` found something"
    NOT_SHOWN = (
        4,
        "it was done, and could not be shown: stdout was closed or full, its reader went away, or did not read in time",
    )
    LEDGER_INVALID = 9, "the A/A ledger cannot be read"
    RECIPE_INVALID = 10, "a recipe or cluster file says something that cannot be"
    RECIPE_UNREADABLE = 11, "a file could not be read: a link, not UTF-8, too large, or not YAML"
    NOTHING_SELECTED = 12, "no point matches the selectors, or no step of a trace what was asked for"
    SETUP_FAILED = 13, "an environment could not be made, or git could not answer"
    OUT_IN_USE = 14, "the results folder already holds a run"
    RECORD_UNREADABLE = 15, "a record is missing, cut short, or not a record"
    NOT_COMPARABLE = 16, "two record sets differ in more, or in less, than was named"
    CHANGELOG_INVALID = 17, "perf-changelog.yaml breaks a rule of its format"
    LAUNCHER_MISSING = 18, "the cluster file does not fit the launcher that was asked for"
    OVER_BUDGET = (
        19,
        "the jobs would take more node-hours than --budget, or one point more than a job may take",
    )
    PREFLIGHT_FAILED = 20, "the node is not fit to run the job"
    MODEL_MISSING = 21, "the model's folder is not there"
    PORT_TAKEN = 22, "another process listens on the server's port"
    STORAGE_FULL = 23, "the disk has too little room, or became full while results were written"
    IMAGE_FAILED = 24, "the image could not be imported on the node"
    SLURM_FAILED = 25, "Slurm did not take the job, or does not answer"
    INFRA_FAILED = 26, "the machine failed, shown by evidence, as often as it was tried"
    KERNEL_INACTIVE = 27, "the canary did not take the path of the kernel that its point expects"
    TRACE_UNREADABLE = (
        28,
        "a trace is missing, broken, larger than its bound, or holds nothing to make a profile of",
    )
    RECORD_FORGED = 29, "a record says otherwise than its raw requests, its plan or its allocation"
    SERVER_EXITED = 30, "the server ended before it was ready"
    SERVER_NOT_READY = 31, "the server was not ready within its limit"
    SERVER_UNHEALTHY = 32, "/health said 200, and the first completion failed"
    SERVER_DIED = 33, "the server ended while it was loaded"
    CLIENT_FAILED = 40, "the load client failed or left no result"
    CLIENT_EMPTY = 41, "the load client ended well, yet no request completed"
    GATE_FAILED = 42, "a point was measured and a gate calls it invalid"
    JOB_FAILED = 43, "a job ended and gave no reason"
    JOB_TIMEOUT = 44, "a job ran into its time limit; what was measured before is kept"
    NODE_KILLED = (
        45,
        "the program that measures was ended by a signal that it cannot catch; points without a record say so",
    )
    OUT_OF_MEMORY = 46, "the kernel ended a process because the memory of the machine or of the job ran out"
    GITHUB_FAILED = 50, "GitHub did not do what was asked"
    REFUSED = 51, "a command of a pull request was refused; the comment says why"
    ARTIFACT_INVALID = 52, "what a workflow left is not what it should be"
    REGISTRY_FAILED = 53, "a registry of images did not say what was asked"
    CANCELLED = 130, "interrupted by SIGINT or SIGTERM; what was measured is kept"

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Keep the meaning beside the number, so that docs and `--help` are made from this table."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


WORTH_ANOTHER_TRY = frozenset(
    {
        *(Exit.SETUP_FAILED, Exit.PREFLIGHT_FAILED, Exit.PORT_TAKEN, Exit.STORAGE_FULL, Exit.IMAGE_FAILED),
        *(Exit.SLURM_FAILED, Exit.INFRA_FAILED, Exit.JOB_TIMEOUT, Exit.NODE_KILLED, Exit.CANCELLED),
    }
)
"""Ends that say nothing about the benchmark: the same points may be measured where and when the machine lets them."""


class Place(NamedTuple):
    """Where in a file: line and column count from 1, as editors do."""

    file: str
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}" if self.line else self.file


class Problem(NamedTuple):
    """One thing that is wrong: where, what, and what to change."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class HarnessError(Exception):
    """An error with an exit code and text for people; several problems are told at once."""

    def __init__(self, exit_code: Exit, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.problems = tuple(sorted(set(problems)))

    def __str__(self) -> str:
        return "\n".join(
            [*map(str, self.problems), self.message] if self.message else map(str, self.problems)
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known word, else the list of all of them; empty when there are none."""
    names = sorted(known)
    return nearest(word, names) or (f"known: {', '.join(names)}" if names else "")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest known word; empty where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom is there anything to guess

    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
