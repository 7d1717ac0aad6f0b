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
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show what would be ended, and end nothing")
    what.add_argument(
        "--yes",
        action="store_true",
        help="end also jobs that no name shows to be of this checkout; do not ask",
    )


def run(arguments: Namespace) -> Exit:
    """End jobs by the names that a run gave them, and only those that are surely meant; each is shown before.

    Raises:
        HarnessError: for a folder that names no job, once those of the other folders are ended.
    """
    books, problems = _books(arguments.folders)
    if problems and not books:
        raise HarnessError(Exit.USAGE, "\n".join(problems))
    wanted = set(books.values())
    left = jobs_left()
    if arguments.folders:
        mine, others = [job for job in left if job.name in wanted], []
    else:
        here = names.checkout(ROOT)
        mine = [job for job in left if names.checkout_of(job.name) == here]
        others = [job for job in left if job not in mine]
    _tell("would be ended" if arguments.list else "to be ended", mine)
    _tell("of another checkout, or of one that was moved", others)
    if not mine:
        sys.stdout.write("no job of this checkout is left\n" if not arguments.folders else "no job is left\n")
    if not arguments.list:
        for book in books:
            _note(book)
        _end(mine)
        if others and (arguments.yes or _agreed()):
            _end(others)
    if problems:
        raise HarnessError(Exit.USAGE, "\n".join(problems))
    return Exit.OK


def _books(folders: Sequence[str]) -> tuple[dict[Notebook, str], list[str]]:
    """What all folders remember: a pattern of a shell may also name a local run's, which keeps no job of the others running."""
    books: dict[Notebook, str] = {}
    problems: list[str] = []
    for folder in folders:
        try:
            books |= dict(_submitted(Path(folder)))
        except HarnessError as error:
            problems.append(str(error))
    return books, problems


def _note(book: Notebook) -> None:
    """Before jobs end, for a launcher that sees their end; where it cannot be noted, they are ended all the same."""
    try:
        book.call_off()
    except OSError as error:
        sys.stderr.write(
            f"{book.file.parent} cannot be written ({error.strerror}): the next `run` there says that somebody cancelled, and the one after it measures\n"
        )


def _end(jobs: list[JobState]) -> None:
    cancel(jobs)
    _tell("cancelled", jobs)


def _tell(what: str, jobs: Sequence[JobState]) -> None:
    sys.stdout.writelines(f"{what}: {job.id} {job.state} {job.name}\n" for job in jobs)


def _agreed() -> bool:
    """Whether a person says that jobs are theirs which no name shows to be of this checkout; without a terminal nobody does."""
    if not (sys.stdin and sys.stdin.isatty()):
        sys.stdout.write(
            "those of another checkout are left alone: end them from there, by their results (./servematrix cancel DIR), or with --yes\n"
        )
        return False
    sys.stdout.write("end those of another checkout too? Type yes: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip() == "yes"


def _submitted(folder: Path) -> list[tuple[Notebook, str]]:
    """What a run's launchers remember of jobs that they handed to Slurm, and under which names."""
    if not (folder / "launch").is_dir():
        raise HarnessError(
            Exit.USAGE, f"{folder}: no launcher wrote there; name the folder of a run on Slurm"
        )
    books = [Notebook(folder, path.stem) for path in (folder / "launch").glob("*.json")]
    try:
        known = [(book, book.read()) for book in books if _is_memory(book)]
    except (OSError, ValueError) as error:
        why = f"{folder}: what its launchers noted cannot be read ({str(error).splitlines()[0]}); `cancel` without a folder finds its jobs"
        raise HarnessError(Exit.USAGE, why) from error
    if not any(memory and memory.name for _, memory in known):
        raise HarnessError(
            Exit.USAGE,
            f"{folder}: none of its jobs was given to Slurm; end a local run with Ctrl-C where it runs",
        )
    return [(book, memory.name) for book, memory in known if memory and memory.name]


def _is_memory(book: Notebook) -> bool:
    """Beside memories there are the plan and verdicts of attempts."""
    return book.job != "plan" and not book.job.endswith(".verdict")
