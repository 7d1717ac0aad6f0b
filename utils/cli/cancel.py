"""`servematrix cancel`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.journal import Notebook
from utils.launch.slurm import names
from utils.launch.slurm.launcher import cancel, jobs_left
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from utils.launch.slurm.states import JobState

EXAMPLE = "cancel results/20261123-*"


def configure(parser: ArgumentParser) -> None:
    """Which runs."""
    parser.add_argument(
        "folders", nargs="*", metavar="DIR", help="results folders; none means every job of this checkout"
    )
    parser.add_argument("--list", action="store_true", help="show what would be ended, and end nothing")


def run(arguments: Namespace) -> Exit:
    """End jobs by the names that a run gave them, and only those that are surely meant."""
    wanted = {
        name for folder in arguments.folders for name in _submitted(Path(folder), note=not arguments.list)
    }
    left = jobs_left()
    if arguments.folders:
        mine, others = [job for job in left if job.name in wanted], []
    else:
        here = names.checkout(ROOT)
        mine = [job for job in left if names.checkout_of(job.name) == here]
        others = [job for job in left if job not in mine]
    if arguments.list:
        _tell("would be ended", mine)
        _tell("of another checkout, or of one that was moved", others)
        return Exit.OK
    cancel(mine)
    _tell("cancelled", mine)
    if others and _agreed(others):
        cancel(others)
        _tell("cancelled", others)
        mine += others
    if not mine:
        sys.stdout.write("no job of this checkout is left\n" if not arguments.folders else "no job is left\n")
    return Exit.OK


def _tell(what: str, jobs: Sequence[JobState]) -> None:
    sys.stdout.writelines(f"{what}: {job.id} {job.state} {job.name}\n" for job in jobs)


def _agreed(others: Sequence[JobState]) -> bool:
    """Whether a person says that jobs are theirs which no name shows to be of this checkout; without a terminal nobody does."""
    _tell("of another checkout, or of one that was moved; left alone", others)
    if not (sys.stdin and sys.stdin.isatty()):
        sys.stdout.write("end them from there, or by their results: ./servematrix cancel DIR\n")
        return False
    sys.stdout.write("end these too? Type yes: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip() == "yes"


def _submitted(folder: Path, *, note: bool) -> list[str]:
    """Names under which a run's launchers handed jobs to Slurm; whoever runs them again measures them anew."""
    if not (folder / "launch").is_dir():
        raise HarnessError(
            Exit.USAGE, f"{folder}: no launcher wrote there; name the folder of a run on Slurm"
        )
    books = [Notebook(folder, path.stem) for path in (folder / "launch").glob("*.json")]
    known = [(book, book.read()) for book in books if _is_memory(book)]
    if not any(memory and memory.name for _, memory in known):
        raise HarnessError(
            Exit.USAGE,
            f"{folder}: none of its jobs was given to Slurm; end a local run with Ctrl-C where it runs",
        )
    return [(book.call_off() if note else memory.name) for book, memory in known if memory and memory.name]


def _is_memory(book: Notebook) -> bool:
    """Beside memories there are the plan and verdicts of attempts."""
    return book.job != "plan" and not book.job.endswith(".verdict")
