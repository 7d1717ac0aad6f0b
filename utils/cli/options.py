"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from matrix.errors import Exit, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from utils.pipeline.ask import Ask

    Actions = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it

WIDTH, NARROW = 100, 40
"""Columns of a help page, at the most and at the least."""
OTHERS = {
    "--dry-run": "plan shows what would run, and run --print-script the commands.",
    "-n": "plan shows what would run, and run --print-script the commands.",
    "--json": "did you mean '--format json'?",
    "--output": "did you mean '--out'?",
    "-o": "did you mean '--out'?",
    "--output-dir": "did you mean '--out'?",
    "--resume": "run with the same --out goes on with a run that was cut off.",
    "--version": "did you mean './servematrix --version'?",
    "--base": "did you mean '--pair'?",
}
"""What other tools call it, or where it is."""
SELECTORS = "a recipe's name, or a shell pattern on point identifiers such as 'minimaxm3-*/8k1k-*-c256'; none means all"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size((WIDTH, 0)).columns
        super().__init__(prog, max_help_position=30, width=min(WIDTH, max(columns, NARROW)))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """An example is a command to copy, in one line."""
        if text.startswith("example:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)  # noqa: SLF001 - argparse has no public name for it


class Parser(argparse.ArgumentParser):
    """One that says of an unknown option which one was probably meant."""

    def error(self, message: str) -> NoReturn:
        """End with a sentence; the usage goes before it only where it says more than the sentence."""
        prefix, unknown = "unrecognized arguments: ", ""
        if message.startswith(prefix):
            words = message.removeprefix(prefix).split()
            unknown = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        if not unknown:
            super().error(message)
        verb = self.prog.removeprefix("servematrix ")
        hint = OTHERS.get(unknown) or nearest(unknown, self.options())
        self.exit(
            Exit.USAGE,
            f"servematrix: {verb} has no option {unknown}; {f'{hint} All' if hint else 'all'} of them: ./servematrix {verb} --help\n",
        )

    def options(self) -> set[str]:
        """Of this verb and of its actions, as they are written."""
        found = {text for one in self._actions for text in one.option_strings}
        for one in self._actions:
            for below in one.choices.values() if isinstance(one.choices, dict) else ():
                found |= below.options() if isinstance(below, Parser) else set()
        return found


def new_parser(prog: str, text: str, example: str = "") -> Parser:
    """A verb's parser. Options are written whole: an abbreviation would change its meaning with the next option."""
    return Parser(
        prog=prog,
        description=text,
        epilog=f"example:  ./servematrix {example}" if example else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def actions(parser: argparse.ArgumentParser) -> Actions:
    """The second word of a verb such as `ledger`."""
    return parser.add_subparsers(dest="action", metavar="ACTION", required=True)


def action(
    to: Actions, name: str, text: str, example: str, run: Callable[[argparse.Namespace], Exit]
) -> argparse.ArgumentParser:
    """One of them."""
    made = to.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example:  ./servematrix {example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    made.set_defaults(do=run)
    return made


def takes_points(made: argparse.ArgumentParser) -> None:
    """What `plan` and `run` have in common."""
    made.add_argument("selectors", nargs="*", metavar="SELECTOR", help=SELECTORS)
    made.add_argument(
        "--tree",
        metavar="DIR",
        help="take recipes and kernels from another checkout; clusters and locks stay this one's",
    )
    made.add_argument(
        "--cluster",
        metavar="NAME",
        default="",
        help="another cluster than the recipes name; keys are its own",
    )
    made.add_argument(
        "--history",
        action="append",
        metavar="DIR",
        help="records that show how long starts and points take (default: results, if there is one)",
    )
    made.add_argument(
        "--budget", type=hours, metavar="HOURS", help="refuse what would take more node-hours than this"
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
        type=positive,
        metavar="N",
        help="fresh servers of each arm, each with all points (default: 1; with --pair what the base's recipe says, 2 or 4)",
    )


def asked(arguments: argparse.Namespace, **more: object) -> Ask:
    """What the command line asks of the pipeline.

    Args:
        arguments: with what `takes_points` adds.
        more: fields of `Ask` that only one verb knows.
    """
    from utils.pipeline.ask import Ask  # noqa: PLC0415 - `--help` needs none of it
    from utils.setup.environments import ROOT  # noqa: PLC0415

    return Ask(
        selectors=tuple(arguments.selectors),
        root=Path(arguments.tree).resolve() if arguments.tree else ROOT,
        changed=arguments.changed,
        pair=arguments.pair,
        runs=arguments.runs,
        cluster=arguments.cluster,
        budget_h=arguments.budget,
        timings=tuple(Path(one) for one in arguments.history) if arguments.history else None,
        **more,  # type: ignore[arg-type] # fields of Ask, by name
    )


def takes_ledger(made: argparse.ArgumentParser) -> None:
    """The option that names the ledger."""
    made.add_argument(
        "--ledger",
        metavar="FILE",
        help="the A/A ledger that says what noise is (default: results/ledger.jsonl)",
    )


def ledger_path(arguments: argparse.Namespace, *, may_be_new: bool = False) -> Path:
    """The ledger that is meant.

    Raises:
        HarnessError: USAGE for one that was named and is not there, unless it may be new, in a folder that is there.
    """
    from matrix.errors import HarnessError  # noqa: PLC0415 - `--help` needs none of it
    from utils.pipeline.ask import Ask  # noqa: PLC0415

    if not arguments.ledger:
        return Ask.ledger
    path = Path(arguments.ledger)
    if not (path.parent.is_dir() if may_be_new else path.is_file()):
        raise HarnessError(
            Exit.USAGE,
            f"--ledger {path} is not there; leave it out, or begin one: ./servematrix ledger add RESULTS --ledger {path}",
        )
    return path


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return int(text)


def hours(text: str) -> float:
    """A number of hours above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of hours above 0")
    return number
