"""The command line: every command and option, declared once."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from matrix.errors import Exit, HarnessError
from utils.cli.github import github
from utils.cli.verdicts import takes_ledger, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it

LINES_SHOWN = 200
_SELECTORS = "a recipe's name, or a shell pattern on point identifiers such as 'minimaxm3-*/8k1k-*-c256'; none means all"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def parser() -> argparse.ArgumentParser:
    """All commands. Each names the function that does it, which is imported only when it is called."""
    top = argparse.ArgumentParser(
        prog="servematrix",
        description="Measure LLM serving over a matrix of recipes, so that a change's numbers can be trusted.",
        epilog="start here:  ./servematrix run qwen3moe-tiny-cpu-vllm\nexit codes:  docs/exit-codes.md",
        formatter_class=_Formatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str,
        does: str,
        text: str,
        example: str,
        to: Commands = commands,
    ) -> argparse.ArgumentParser:
        made = to.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:  ./servematrix {example}",
            formatter_class=_Formatter,
        )
        made.set_defaults(does=does)
        return made

    plan = command(
        "plan", "utils.commands:plan", "show what would run, and why", "plan minimaxm3-fp8-mi300x-vllm"
    )
    _takes_points(plan)
    plan.add_argument(
        "--format", choices=["table", "ids", "json", "github"], default="table", help="default: table"
    )

    run = command(
        "run",
        "utils.commands:run",
        "run points and show their figures; with --pair also a verdict",
        "run qwen3moe-tiny-cpu-vllm --pair main",
    )
    _takes_points(run)
    run.add_argument(
        "--no-confirm",
        action="store_true",
        help="with --pair: do not measure flagged points once more (`run --confirm` does it later)",
    )
    run.add_argument(
        "--confirm",
        metavar="DIR",
        help="measure once more what was flagged in the results DIR, and judge; takes no selectors",
    )
    takes_ledger(run)
    run.add_argument(
        "--launcher",
        choices=["local", "slurm"],
        help="another launcher than the cluster file's; slurm goes on with what a killed launcher left",
    )
    run.add_argument(
        "--print-script", action="store_true", help="show the exact commands instead of running them"
    )
    run.add_argument(
        "--print-batch", action="store_true", help="show the batch scripts instead of submitting them"
    )
    run.add_argument("--out", metavar="DIR", help="where results go (default: results/TIME-RECIPE)")
    run.add_argument(
        "--environment",
        metavar="DIR",
        help="an environment with a vLLM of your own, for runtime none; its results are never reused",
    )

    collect = command(
        "collect", "utils.commands:collect", "show the records below folders", "collect results/20261123-*"
    )
    collect.add_argument("folders", nargs="+", metavar="DIR")
    collect.add_argument(
        "--job",
        type=_positive,
        metavar="N",
        help="first fetch what this Slurm job left on its node into DIR, as after a launcher that died",
    )
    collect.add_argument("--node", metavar="NAME", help="where that job ran, if Slurm has forgotten it")
    collect.add_argument("--cluster", metavar="NAME", help="its cluster file, if DIR does not tell")
    collect.add_argument("--format", choices=["table", "json"], default="table", help="default: table")

    nodes = command(
        "nodes", "utils.slurm_commands:nodes", "nodes in quarantine, and why", "nodes --clear mi3"
    )
    nodes.add_argument(
        "--clear",
        nargs="+",
        metavar="NODE",
        help="use these again before their day is over; `all` clears every one",
    )
    cancel = command(
        "cancel", "utils.slurm_commands:cancel", "end what a run left on Slurm", "cancel results/20261123-*"
    )
    cancel.add_argument(
        "folders", nargs="*", metavar="DIR", help="results folders; none means every job of this checkout"
    )

    verdicts(commands, command, _Formatter)
    github(commands, command, _Formatter)
    _changelog(commands, command)

    doctor = command(
        "doctor",
        "utils.doctor_command:doctor",
        "what this machine, or the repository on GitHub, lacks",
        "doctor --github",
    )
    doctor.add_argument("--github", action="store_true", help="look at settings that no file says")
    doctor.add_argument("--repository", metavar="OWNER/NAME", help="another one than origin")
    check = command(
        "check", "utils.house:check", "check recipes, clusters, changelog and generated files", "check"
    )
    check.add_argument("--write", action="store_true", help="write schemas and tables of docs anew")
    test = command("test", "utils.house:test", "linters and tests", "test --quick")
    test.add_argument("--quick", action="store_true", help="leave out what starts the real vLLM or Slurm")
    test.add_argument("--slurm", action="store_true", help="only what runs on a real Slurm, started for it")
    test.add_argument("rest", nargs=argparse.REMAINDER, metavar="-- PYTEST_ARGUMENT", help="handed to pytest")
    command("lock", "utils.setup.locks:lock", "make requirements/*.lock again", "lock")
    return top


def _takes_points(made: argparse.ArgumentParser) -> None:
    """What `plan` and `run` have in common."""
    made.add_argument("selectors", nargs="*", metavar="SELECTOR", help=_SELECTORS)
    made.add_argument(
        "--tree",
        metavar="DIR",
        help="take recipes and kernels from another checkout; clusters and locks stay this one's",
    )
    made.add_argument(
        "--history",
        action="append",
        metavar="DIR",
        help="records that tell how long starts and points take (default: results, if there is one)",
    )
    made.add_argument(
        "--budget", type=_hours, metavar="HOURS", help="refuse what would take more node-hours than this"
    )
    made.add_argument(
        "--changed",
        metavar="BASE[...HEAD]",
        help="only points whose key differs from the merge base; without HEAD the working tree",
    )
    made.add_argument(
        "--pair",
        metavar="BASE",
        help="measure the base beside the head, in one allocation, in the order B H H B; BASE is a revision, "
        "entry=N or entry=latest of the changelog, kernel=off, or another recipe",
    )
    made.add_argument(
        "--runs",
        type=_positive,
        metavar="N",
        help="fresh servers of each arm, each with all points (default: 1; with --pair what the base's recipe says, 2 or 4)",
    )


def _changelog(commands: Commands, command: Callable[..., argparse.ArgumentParser]) -> None:
    """`changelog add|show|check`."""
    changelog = commands.add_parser(
        "changelog",
        help="perf-changelog.yaml",
        description="Read and fill perf-changelog.yaml.",
        formatter_class=_Formatter,
    )
    actions = changelog.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = command(
        "add",
        "utils.changelog_commands:add",
        "fill the author's stub from records",
        "changelog add results/after --pr 42",
        actions,
    )
    add.add_argument("folders", nargs="+", metavar="DIR", help="folders with the head's records")
    add.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with the base's records, if it was not measured with --pair",
    )
    add.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PART",
        help="a part of the key that is meant to differ from the base",
    )
    add.add_argument(
        "--pr", type=_positive, metavar="N", help="pull request; an entry of the same one is replaced"
    )
    add.add_argument("--title", metavar="TEXT", help="makes a new entry, where no stub waits")
    add.add_argument(
        "--why",
        action="append",
        default=[],
        metavar="TEXT",
        help="a reason, for a new entry; may be given several times",
    )
    add.add_argument(
        "--run", action="append", default=[], metavar="URL", help="address of a run that measured this"
    )
    takes_ledger(add)
    shown = command(
        "show",
        "utils.changelog_commands:show",
        "print a recipe's entries, or a point's lines",
        "changelog show qwen3moe-tiny-cpu-vllm/128x64-tp1-c4",
        actions,
    )
    shown.add_argument("what", metavar="RECIPE[/POINT]")
    checked = command(
        "check", "utils.changelog_commands:check", "check the file's rules", "changelog check", actions
    )
    checked.add_argument(
        "--strict",
        action="store_true",
        help="fail where the newest entry is not of this tree's keys, unless it waits for its figures",
    )
    rebased = command(
        "rebase",
        "utils.changelog_commands:rebase",
        "put this branch's entries onto another one's changelog; figures that have another base then wait to be measured again",
        "changelog rebase main",
        actions,
    )
    rebased.add_argument(
        "onto",
        nargs="?",
        metavar="ONTO",
        help="a branch or commit (default: that of the merge or rebase under way)",
    )
    for one in (add, shown, checked, rebased):
        one.add_argument("--file", metavar="FILE", help="another file than perf-changelog.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every way to end has an exit code."""
    gc.disable()  # the commands are short and build large trees; collecting them costs more than they hold
    signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if getattr(arguments, "rest", None) and arguments.rest[0] == "--":
        arguments.rest.pop(0)
    return _ended(arguments)


def _ended(arguments: argparse.Namespace) -> int:
    """Do what was asked for, and tell an error."""
    try:
        module, _, function = arguments.does.partition(":")
        code = getattr(importlib.import_module(module), function)(arguments)
        sys.stdout.flush()
        return int(code)
    except HarnessError as error:
        _tell(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("servematrix: interrupted; what was measured is kept\n")
        return int(Exit.CANCELLED)
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader had enough, as with `| head`
        return int(Exit.OK if error.errno == errno.EPIPE else Exit.STORAGE_FULL)
    except Exception as error:  # noqa: BLE001 - the last resort: say whose fault it is
        return int(_unforeseen(error))


def _unforeseen(error: Exception) -> Exit:
    """A package that is not there is the environment's fault, anything else is ours."""
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] not in {"matrix", "utils"}:
        sys.stderr.write(
            f"servematrix: {error.name} is not in {sys.prefix}, which was made by another Python; remove that folder and try again\n"
        )
        return Exit.SETUP_FAILED
    traceback.print_exc()
    sys.stderr.write("servematrix: this is an error in servematrix; please report it with the lines above\n")
    return Exit.BUG


def _tell(error: HarnessError) -> None:
    """Errors on stderr; in Actions also as annotations at their place."""
    lines = str(error).splitlines()
    sys.stderr.writelines(f"{line}\n" for line in lines[:LINES_SHOWN])
    if len(lines) > LINES_SHOWN:
        sys.stderr.write(f"… and {len(lines) - LINES_SHOWN} more lines; mend these first\n")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for problem in error.problems:
            text = problem.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            file = problem.place.file.replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
            sys.stdout.write(
                f"::error file={file},line={problem.place.line},col={problem.place.col}::{text}\n"
            )


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number


def _hours(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of hours above 0")
    return number
