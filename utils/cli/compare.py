"""`servematrix compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.select import hint, names_of
from utils.cli.options import ledger_path, takes_ledger
from utils.pipeline.judge import judged
from utils.pipeline.reasons import with_reasons
from utils.results.collect import collect
from utils.results.lean import Leaner
from utils.results.verdict import kept, matching, present, side_by_side
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison

EXAMPLE = "compare results/20261125-*"


def configure(parser: ArgumentParser) -> None:
    """Two sides, and how they are judged."""
    parser.add_argument("base", metavar="BASE", help="folder with records; of both arms if no HEAD is given")
    parser.add_argument(
        "head",
        metavar="HEAD",
        nargs="*",
        help="folder with records of the other side; of several each is compared with BASE, in one table, or with its own base where "
        "all folders have both arms",
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PART",
        help="a part of the key that is meant to differ besides what the plan named; anything else is refused",
    )
    parser.add_argument(
        "--points",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="only these: a recipe's name, or a shell pattern on point identifiers",
    )
    parser.add_argument(
        "--waive-confirmation",
        action="store_true",
        help="judge a change that one block shows, without a second block that confirms it",
    )
    parser.add_argument(
        "--tree", metavar="DIR", help="the checkout whose changelog has the claims (default: this one)"
    )
    parser.add_argument(
        "--format", choices=["text", "json", "markdown"], default="text", help="default: text"
    )
    takes_ledger(parser)


def _selected(records: list[Record], selectors: list[str]) -> list[Record]:
    points = list(dict.fromkeys(one.point for one in records))
    for selector in selectors:
        if not names_of(points, [selector]):
            raise HarnessError(
                Exit.NOTHING_SELECTED, f"no record's point matches {selector}; {hint(selector, points)}"
            )
    wanted = set(names_of(points, selectors))
    return [one for one in records if one.point in wanted]


def _ledger(arguments: Namespace, folder: str) -> Path:
    """The one that is named; else what the results were judged by on their day; else what is known now."""
    now = ledger_path(arguments)
    return now if arguments.ledger or not folder else kept.of(Path(folder), now)


def _judged(arguments: Namespace, base: list[Record], head: list[Record], folder: str) -> Comparison:
    base, head = (_selected(side, arguments.points) for side in (base, head))
    return judged(
        base,
        head,
        _ledger(arguments, folder),
        Path(arguments.tree).resolve() if arguments.tree else ROOT,
        vary=arguments.vary,
        confirmation=not arguments.waive_confirmation,
    )


def _several(arguments: Namespace) -> dict[str, Comparison]:
    """Each head by the name of its folder."""
    keep = Leaner()
    folders = [arguments.base, *arguments.head]
    sides = {folder: collect([Path(folder)], keep=keep) for folder in dict.fromkeys(folders)}
    if len(sides) < len(folders):
        raise HarnessError(Exit.USAGE, "a folder is named twice; name each once")
    if all({one.arm for one in records} == {"base", "head"} for records in sides.values()):
        pairs_of = {folder: matching.arms(records) for folder, records in sides.items()}
    else:
        pairs_of = {folder: (sides[arguments.base], sides[folder]) for folder in arguments.head}
    return {
        folder: _judged(arguments, list(base), list(head), folder)
        for folder, (base, head) in pairs_of.items()
    }


def _sides(arguments: Namespace) -> tuple[list[Record], list[Record]]:
    """Records of base and head: of two folders, or of one that has both."""
    keep = Leaner()
    if arguments.head:
        base, head = (collect([Path(folder)], keep=keep) for folder in (arguments.base, arguments.head[0]))
        return base, head
    base, head = matching.arms(collect([Path(arguments.base)], keep=keep))
    return list(base), list(head)


def run(arguments: Namespace) -> Exit:
    """Judge a head, or several, against a base."""
    if len(arguments.head) > 1:
        side_by_side.write(sys.stdout, _several(arguments), arguments.format)
        return Exit.OK
    # records are held by nobody once they are judged: what is shown of many takes as much memory again
    comparison = _judged(arguments, *_sides(arguments), arguments.base if not arguments.head else "")
    comparison = with_reasons(comparison, map(Path, (arguments.base, *arguments.head)))
    if arguments.format == "json":
        sys.stdout.write(comparison.to_json())
    elif arguments.format == "markdown":
        sys.stdout.write(present.markdown(comparison))
    else:
        present.write_text(sys.stdout, comparison)
    return Exit.OK
