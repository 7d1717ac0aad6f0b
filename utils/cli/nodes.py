"""`servematrix nodes`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.choice import node_states, state_folder
from utils.launch.quarantine import Quarantine
from utils.show import tables

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "nodes --clear mi3"
NODE_COLUMNS = [
    ("node", "left"),
    ("state", "left"),
    ("for another", "right"),
    ("cause", "left"),
    ("evidence", "left"),
]


def configure(parser: ArgumentParser) -> None:
    """What to take out."""
    parser.add_argument(
        "--clear",
        nargs="+",
        metavar="NODE",
        help="use these again before their day is over; `all` clears every one",
    )


def run(arguments: Namespace) -> Exit:
    """Show the quarantine, or take nodes out of it."""
    quarantine = Quarantine(state_folder())
    if arguments.clear:
        gone = quarantine.clear(None if "all" in arguments.clear else arguments.clear)
        unknown = sorted(set(arguments.clear) - set(gone) - {"all"})
        sys.stdout.writelines(f"cleared: {node}\n" for node in gone)
        if unknown:
            raise HarnessError(
                Exit.USAGE, f"not in quarantine: {', '.join(unknown)}; what is: ./servematrix nodes"
            )
        return Exit.OK
    entries = quarantine.entries()
    if not entries:
        sys.stdout.write("no node is in quarantine\n")
        return Exit.OK
    states = node_states()
    rows = []
    for entry in entries:
        left = tables.duration(entry.until_unix_s - time.time())
        rows.append(
            [entry.node, states.get(entry.node, "?"), left, entry.cause, (entry.evidence or ["-"])[0][:100]]
        )
    tables.table(sys.stdout, "Nodes in quarantine", NODE_COLUMNS, rows)
    sys.stdout.write("use one again: ./servematrix nodes --clear NODE\n")
    return Exit.OK
