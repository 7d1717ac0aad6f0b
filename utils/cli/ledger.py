"""`servematrix ledger show|add|reset|accept`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.metrics import METRICS
from utils.cli.options import action, actions, ledger_path, takes_ledger
from utils.node.files import write_whole
from utils.results.collect import collect
from utils.results.verdict import ledger, ledger_file
from utils.results.verdict.detectable import smallest_seen
from utils.results.verdict.ledger_lines import Reset
from utils.results.verdict.spread import Spread
from utils.show import tables

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.results.verdict.pooling import Pool

LEDGER_COLUMNS = [
    ("device", "left"),
    ("driver", "left"),
    ("class", "left"),
    ("metric", "left"),
    ("differences", "right"),
    ("own points", "right"),
    ("noise of a run", "right"),
    ("seen with 2 runs", "right"),
    ("with 4", "right"),
]


EXAMPLE = "ledger show"


def configure(parser: ArgumentParser) -> None:
    """Its actions."""
    to = actions(parser)
    shown = action(to, "show", "what is known of noise, and alarms", "ledger show", _show)
    add = action(to, "add", "add the differences that records show", "ledger add results/20261125-*", _add)
    add.add_argument("folders", nargs="+", metavar="DIR", help="folders with records")
    example = 'ledger reset --device MI300X --why "new power supplies"'
    reset = action(to, "reset", "begin anew for a device", example, _reset_device)
    reset.add_argument("--device", required=True, metavar="MODEL", help="as `ledger show` names it")
    reset.add_argument("--driver", metavar="VERSION", help="only with this driver (default: any)")
    reset.add_argument("--why", required=True, metavar="TEXT", help="is kept in the ledger")
    example = "ledger accept sweep-4711.small.tp1"
    accept = action(to, "accept", "count what an alarm set aside", example, _accept)
    accept.add_argument("allocation", metavar="ALLOCATION", help="as `ledger show` names it")
    for one in (shown, add, reset, accept):
        takes_ledger(one)


def _show(arguments: Namespace) -> Exit:
    """What is known of noise."""
    known = ledger.read(ledger_path(arguments))
    table = []
    for (device, driver, name, metric), pool in sorted(known.classes.items()):
        own = sum(
            one.df >= ledger.NEEDED
            for (d, v, point, m), one in known.points.items()
            if (d, v, m) == (device, driver, metric) and known.class_by_point[point] == name
        )
        sd = 100 * pool.variance**0.5
        seen = [_seen(pool, METRICS[metric].floor / 100, n) for n in (2, 4)]
        heading = METRICS[metric].about
        table.append([device, driver, name, heading, str(pool.df), str(own), f"{sd:.2f} %", *seen])
    if not table:
        sys.stdout.write(
            f"{ledger_path(arguments)} has no differences; a few runs of something against itself fill it: "
            "./servematrix run RECIPE --pair HEAD\n"
        )
        return Exit.OK
    tables.table(sys.stdout, "What runs of the same thing differ by", LEDGER_COLUMNS, table)
    for allocation, why in known.held.items():
        sys.stdout.write(
            f"set aside after an alarm: {why}\n  count it all the same: ./servematrix ledger accept {allocation}\n"
        )
    sys.stdout.write(
        f"{len(known.differences)} differences of points; a pair of servers counts once a class\n"
    )
    return Exit.OK


def _seen(pool: Pool, floor: float, runs: int) -> str:
    """What a sweep of one point, with the noise of its class, sees four times in five."""
    if not pool.variance:
        return "nothing known"
    df = min(float(pool.df), ledger.LEVEL_DF)
    found = smallest_seen(Spread(pool.variance**0.5, df, "borrowed"), floor, runs, [1])
    return f"{100 * found:.1f} %" if found else "over 100 %"


def _add(arguments: Namespace) -> Exit:
    """Add what records tell of noise; what is there already is not added twice."""
    ledger_file.add(
        ledger_path(arguments, may_be_new=True), collect([Path(folder) for folder in arguments.folders])
    )
    return Exit.OK


def _accept(arguments: Namespace) -> Exit:
    """Count what an alarm set aside."""
    path = ledger_path(arguments)
    with ledger_file.locked(path):
        known = ledger.read(path)
        if arguments.allocation not in known.held:
            raise HarnessError(
                Exit.USAGE, f"nothing of {arguments.allocation!r} is set aside; see ./servematrix ledger show"
            )
        write_whole(path, ledger.text(known.accepting(arguments.allocation)).encode())
    sys.stdout.write(f"{path}: {arguments.allocation} counts now\n")
    return Exit.OK


def _reset_device(arguments: Namespace) -> Exit:
    """Start again for a device, as after an upgrade that the driver's version does not show."""
    path = ledger_path(arguments)
    with ledger_file.locked(path):
        _reset(path, ledger.read(path), arguments)
    sys.stdout.write(f"{path}: {arguments.device} starts again; the lines before stay in the file\n")
    return Exit.OK


def _reset(path: Path, known: ledger.Ledger, arguments: Namespace) -> None:
    devices = sorted({line.device for line in known.differences})
    if arguments.device not in devices:
        raise HarnessError(
            Exit.USAGE,
            f"the ledger has no device {arguments.device!r}; it has: {', '.join(devices) or 'none'}",
        )
    line = Reset(
        day=datetime.now(UTC).strftime("%Y-%m-%d"),
        device=arguments.device,
        driver=arguments.driver,
        reset=arguments.why,
    )
    write_whole(path, ledger.text(ledger.Ledger([*known.lines, line])).encode())
