"""`servematrix run`."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.cli.example import RECIPE
from utils.cli.options import asked, ledger_path, takes_ledger, takes_points
from utils.cli.streams import Stream
from utils.launch import choice, script
from utils.node.files import below
from utils.node.record import FILE
from utils.pipeline import confirm, print_script
from utils.pipeline.plan import plan
from utils.pipeline.run import run as run_points
from utils.results.collect import missing, placed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.pipeline.ask import Ask

EXAMPLE = f"run {RECIPE} --pair main"
_OF_THE_RESULTS = (
    "selectors",
    "pair",
    "changed",
    "out",
    "tree",
    "cluster",
    "environment",
    "print_script",
    "print_batch",
    "profile",
)
PHASES = ("decode", "prefill")


def configure(parser: ArgumentParser) -> None:
    """Points, where they run, and what happens to the results."""
    takes_points(parser)
    parser.add_argument(
        "--no-confirm",
        action="store_true",
        help="with --pair: do not measure flagged points once more (`run --confirm` does it later)",
    )
    parser.add_argument(
        "--confirm",
        metavar="DIR",
        help="measure once more what was flagged in the results DIR, and judge; takes no selectors",
    )
    takes_ledger(parser)
    parser.add_argument(
        "--launcher",
        choices=choice.NAMES,
        help="another launcher than the cluster file's; a batch system goes on with what a killed launcher left",
    )
    parser.add_argument(
        "--print-script",
        action="store_true",
        help="show the exact commands instead of running them; with --out a script a job is written there",
    )
    parser.add_argument(
        "--print-batch", action="store_true", help="show the batch scripts instead of submitting them"
    )
    parser.add_argument(
        "--profile",
        choices=PHASES,
        default="",
        help="profile some steps of each point with the server's own profiler, and measure nothing; with --pair: measure, then profile the point "
        "that moved most in both arms, to say where its time went",
    )
    parser.add_argument("--out", metavar="DIR", help="where results go (default: results/TIME-RECIPE)")
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="default: text; json has records and verdict on stdout, and everything else on stderr",
    )
    parser.add_argument(
        "--environment",
        metavar="DIR",
        help="a folder with an environment of your own to serve from, for runtime none; its results are never reused",
    )


def run(arguments: Namespace) -> Exit:
    """Run points, or show the commands, or confirm an earlier run."""
    ask = asked(
        arguments,
        launcher=arguments.launcher,
        out=Path(arguments.out).absolute() if arguments.out else None,
        environment=Path(arguments.environment).absolute() if arguments.environment else None,
        ledger=ledger_path(arguments, may_be_new=True),
        confirms=not arguments.no_confirm,
        profile=arguments.profile,
    )
    if arguments.confirm:
        if any(getattr(arguments, name) for name in _OF_THE_RESULTS):
            raise HarnessError(
                Exit.USAGE,
                "--confirm takes points, base, tree, cluster and environment from the results; it goes with --launcher, --ledger and --budget alone",
            )
        return confirm.resume(ask, Path(arguments.confirm).absolute())
    if arguments.print_script or arguments.print_batch:
        return _print(ask, batch=arguments.print_batch)
    return _as_json(ask) if arguments.format == "json" else run_points(ask).code


def _as_json(ask: Ask) -> Exit:
    """Run with everything for people on stderr, and one value on stdout: how it ended, records, what is missing, the verdict."""
    with redirect_stdout(sys.stderr):
        ran = run_points(ask)
    records = placed([ran.out]) if ran.out and any(below(ran.out, FILE)) else []
    verdict = ran.out / "verdict.json" if ran.out else None
    value = {
        "schema": 1,
        "exit": ran.code.name,
        "out": str(ran.out) if ran.out else None,
        "records": [one.model_dump(mode="json") for one, _ in records],
        "missing": [one.model_dump(mode="json") for one in missing(ran.out, [one for one, _ in records])]
        if ran.out
        else [],
        "verdict": json.loads(verdict.read_bytes()) if verdict and verdict.exists() else None,
    }
    if isinstance(sys.stdout, Stream):
        sys.stdout.show_all()
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")
    return ran.code


def _print(ask: Ask, *, batch: bool) -> Exit:
    made = plan(ask)
    if batch:
        sys.stdout.writelines(print_script.batch_scripts(ask, made))
        return Exit.OK
    found = print_script.by_hand(ask, made)
    if ask.out is None:
        sys.stdout.write(script.whole(*found.values()))
    else:
        sys.stdout.writelines(f"{path}\n" for path in print_script.write(found, ask.out))
    return Exit.OK
