"""`servematrix compare` and `ledger …`."""

from __future__ import annotations

import fcntl
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils import show
from utils.node.record import write_whole
from utils.results import changelog, claims, compare, ledger, metrics, pairs, verdict_show
from utils.results.collect import collect
from utils.results.verdict import POWER
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from utils.node.record import Record
    from utils.results.comparison import Comparison

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


def ledger_file(arguments: Namespace) -> Path:
    """The ledger that is meant."""
    return Path(arguments.ledger) if arguments.ledger else ROOT / "results" / "ledger.jsonl"


def judged(base: Sequence[Record], head: Sequence[Record], arguments: Namespace, tree: Path) -> Comparison:
    """Compare two sides, with the claims that their author committed."""
    found = compare.compare(
        base,
        head,
        ledger.read(ledger_file(arguments)),
        vary=getattr(arguments, "vary", []),
        confirmation=not getattr(arguments, "waive_confirmation", False),
    )
    return with_claims(found, head, tree)


def with_claims(found: Comparison, head: Sequence[Record], tree: Path) -> Comparison:
    """A comparison with what became of the claims in a checkout's changelog."""
    told = []
    for recipe in sorted({record.point.split("/")[0] for record in head}):
        committed = claims.committed(tree, head[0].provenance.tree_commit, recipe)
        told += claims.outcomes(found, recipe, committed, claims.written(tree / changelog.FILE, recipe))
    return found.model_copy(update={"claims": told})


def compare_command(arguments: Namespace) -> Exit:
    """Judge a head against a base."""
    if arguments.head is None:
        base, head = pairs.arms(collect([Path(arguments.base)]))
    else:
        base, head = collect([Path(arguments.base)]), collect([Path(arguments.head)])
    found = judged(base, head, arguments, Path(arguments.tree).resolve() if arguments.tree else ROOT)
    if arguments.format == "json":
        sys.stdout.write(found.to_json())
    elif arguments.format == "markdown":
        sys.stdout.write(verdict_show.markdown(found))
    else:
        verdict_show.write_text(sys.stdout, found)
    return Exit.OK


def ledger_show(arguments: Namespace) -> Exit:
    """What is known of noise."""
    known = ledger.read(ledger_file(arguments))
    table = []
    for (device, driver, name, metric), pool in sorted(known.classes.items()):
        own = sum(
            one.df >= ledger.NEEDED
            for (d, v, point, m), one in known.points.items()
            if (d, v, m) == (device, driver, metric) and known.class_by_point[point] == name
        )
        sd = 100 * pool.variance**0.5
        enough = pool.df >= ledger.NEEDED
        seen = [
            f"{POWER * sd * (2 / n) ** 0.5:.1f} %" if enough else f"wants {ledger.NEEDED}" for n in (2, 4)
        ]
        heading = metrics.JUDGED[metric].heading
        table.append([device, driver, name, heading, str(pool.df), str(own), f"{sd:.2f} %", *seen])
    if not table:
        sys.stdout.write(
            f"{ledger_file(arguments)} has no differences; a few runs of something against itself fill it: "
            "./servematrix run RECIPE --pair HEAD\n"
        )
        return Exit.OK
    show.table(sys.stdout, "What runs of the same thing differ by", LEDGER_COLUMNS, table)
    for allocation, why in known.held.items():
        sys.stdout.write(
            f"held out after an alarm: {why}\n  count it all the same: ./servematrix ledger accept {allocation}\n"
        )
    sys.stdout.write(
        f"{len(known.differences)} differences of points; a pair of servers counts once a class\n"
    )
    return Exit.OK


def ledger_add(arguments: Namespace) -> Exit:
    """Add what records tell of noise; what is there already is not added twice."""
    add_to_ledger(ledger_file(arguments), collect([Path(folder) for folder in arguments.folders]))
    return Exit.OK


def add_to_ledger(path: Path, records: Sequence[Record]) -> None:
    """Add what records tell of noise to a file, and say so."""
    with _locked(path):
        known, new, alarms = ledger.read(path).with_records(records)
        if new:
            write_whole(path, ledger.text(known).encode())
    sys.stdout.writelines(f"alarm, held out of the ledger: {line}\n" for line in alarms)
    sys.stdout.write(f"{path}: {len(new)} new differences, {len(known.differences)} in all\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ledger_accept(arguments: Namespace) -> Exit:
    """Count what an alarm held out."""
    path = ledger_file(arguments)
    with _locked(path):
        known = ledger.read(path)
        if arguments.allocation not in known.held:
            raise HarnessError(
                Exit.USAGE, f"nothing of {arguments.allocation!r} is held out; see ./servematrix ledger show"
            )
        write_whole(path, ledger.text(known.accepting(arguments.allocation)).encode())
    sys.stdout.write(f"{path}: {arguments.allocation} counts now\n")
    return Exit.OK


def ledger_reset(arguments: Namespace) -> Exit:
    """Begin anew for a device, as after an upgrade that the driver's version does not show."""
    path = ledger_file(arguments)
    with _locked(path):
        _reset(path, ledger.read(path), arguments)
    sys.stdout.write(f"{path}: {arguments.device} begins anew; the lines before stay in the file\n")
    return Exit.OK


def _reset(path: Path, known: ledger.Ledger, arguments: Namespace) -> None:
    devices = sorted({line.device for line in known.differences})
    if arguments.device not in devices:
        raise HarnessError(
            Exit.USAGE,
            f"the ledger has no device {arguments.device!r}; it has: {', '.join(devices) or 'none'}",
        )
    line = ledger.Reset(
        day=datetime.now(UTC).strftime("%Y-%m-%d"),
        device=arguments.device,
        driver=arguments.driver,
        reset=arguments.why,
    )
    write_whole(path, ledger.text(ledger.Ledger([*known.lines, line])).encode())
