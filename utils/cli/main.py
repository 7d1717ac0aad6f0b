"""The command line: which verb, what to do about an error, and how it ended."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from matrix.errors import Exit, HarnessError, nearest
from matrix.version import VERSION
from utils.cli import streams
from utils.cli.example import RECIPE
from utils.cli.verbs import ACTS, READS, VERBS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType, ModuleType

LINES_SHOWN = 200
START = f"""\
start here:  ./servematrix run {RECIPE}
one verb:    ./servematrix VERB --help
exit codes:  docs/exit-codes.md"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; every way to end has an exit code."""
    gc.disable()  # the verbs are short and build large trees; collecting them costs more than they hold
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` leaves it
        signal.signal(signal.SIGHUP, _terminate)
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        reads = _only_reads(words)
        with streams.shown(acts=bool(words) and words[0] in ACTS and not reads, reads=reads) as ended:
            ended.code = _run(words)
    except KeyboardInterrupt:  # while a slow reader was waited for
        return int(Exit.CANCELLED)
    return ended.code


def _only_reads(words: list[str]) -> bool:
    """Whether to show something is all that was asked for."""
    if not words or words[0] in READS or {"-h", "--help"} & set(words):
        return True
    if words[0] == "collect":
        return not any(word.startswith("--job") for word in words)
    return words[0] == "run" and bool({"--print-script", "--print-batch"} & set(words))


def _run(words: list[str]) -> int:
    try:
        verb, arguments = parsed(words)
    except SystemExit as end:
        return int(end.code or 0)
    except ImportError as error:
        return int(_unforeseen(error))
    return _ended(verb, arguments)


def parsed(words: list[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The verb's module and its arguments; help, the version and wrong usage end here.

    Raises:
        SystemExit: with the exit code.
    """
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(overview())
        raise SystemExit(Exit.OK)
    if words[0] == "--version":
        sys.stdout.write(f"servematrix {VERSION}\n")
        raise SystemExit(Exit.OK)
    name = words[0]
    if name not in VERBS:
        hint = nearest(name, VERBS) or "see ./servematrix --help"
        sys.stderr.write(f"servematrix: no verb {name!r}; {hint}\n")
        raise SystemExit(Exit.USAGE)
    verb = module(name)
    return verb, parser(name, verb).parse_args(words[1:])


def module(name: str) -> ModuleType:
    """A verb's module."""
    return importlib.import_module(f"utils.cli.{name}")


def parser(name: str, verb: ModuleType) -> argparse.ArgumentParser:
    """A verb's own parser."""
    from utils.cli.options import new_parser  # noqa: PLC0415 - the table of verbs is shown without it

    made = new_parser(f"servematrix {name}", VERBS[name], getattr(verb, "EXAMPLE", ""))
    verb.configure(made)
    return made


def overview() -> str:
    """What `./servematrix` alone says: all verbs."""
    width = max(map(len, VERBS)) + 2
    verbs = "".join(f"  {name:<{width}}{text}\n" for name, text in VERBS.items())
    return (
        "usage: servematrix VERB …\n\n"
        "Measure LLM serving over a matrix of recipes, so that a change's numbers can be trusted.\n\n"
        f"verbs:\n{verbs}\noptions:\n  -h, --help    this page\n  --version     {VERSION}\n\n{START}\n"
    )


def _ended(verb: ModuleType, arguments: argparse.Namespace) -> int:
    """Do what was asked for, and say what went wrong."""
    try:
        does = arguments.do if hasattr(arguments, "do") else verb.run
        code = does(arguments)
        return int(code)
    except HarnessError as error:
        _say(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        kept = "; what was measured is kept" if verb.__name__.endswith(".run") else ""
        sys.stderr.write(f"servematrix: interrupted{kept}\n")
        return int(Exit.CANCELLED)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            return int(_unforeseen(error))
        sys.stderr.write(
            f"servematrix: {error.filename or 'a file'} could not be written: {error.strerror}; free some space there\n"
        )
        return int(Exit.STORAGE_FULL)
    except Exception as error:  # noqa: BLE001 - the last resort: say whose fault it is
        return int(_unforeseen(error))


def _unforeseen(error: Exception) -> Exit:
    """A package that is not there is the environment's fault, anything else is ours."""
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] not in {"matrix", "utils"}:
        sys.stderr.write(
            f"servematrix: {error.name} is not in {sys.prefix}, which was made by another Python; remove that folder and try again\n"
        )
        return Exit.SETUP_FAILED
    import traceback  # noqa: PLC0415 - seldom, and slow to import

    from utils.show import foreign  # noqa: PLC0415 - the same

    sys.stderr.write(f"{foreign.lines(traceback.format_exc().rstrip())}\n")
    sys.stderr.write("servematrix: this is an error in servematrix; please report it with the lines above\n")
    return Exit.BUG


def _say(error: HarnessError) -> None:
    """Errors on stderr; in Actions also as annotations at their place."""
    from utils.show import foreign  # noqa: PLC0415 - its patterns take longer than `--help` does

    lines = str(error).splitlines()
    sys.stderr.writelines(f"{foreign.line(line)}\n" for line in lines[:LINES_SHOWN])
    if len(lines) > LINES_SHOWN:
        sys.stderr.write(f"… and {len(lines) - LINES_SHOWN} more lines; fix these first\n")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for problem in error.problems:
            place = problem.place
            at = {"file": place.file, "line": place.line, "col": place.col}
            sys.stdout.write(foreign.command("error", problem.message, **at))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)
