"""`servematrix pin`: digests of images, asked of their registries and written into recipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import recipe as recipes
from matrix.errors import Exit
from matrix.select import recipes_of
from matrix.source import Folder
from utils.cli.example import LARGE
from utils.node.files import write_whole
from utils.pipeline.ask import has_recipes
from utils.setup import pin
from utils.setup.environments import ROOT
from utils.setup.registry import Registry

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = f"pin {LARGE}"


def configure(parser: ArgumentParser) -> None:
    """Recipes, and whether to write."""
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="names of recipes, or patterns")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 3 where a digest is missing or old"
    )
    parser.add_argument("--tree", metavar="DIR", help="write in another checkout")


def run(arguments: Namespace) -> Exit:
    """Write NAME:TAG@sha256:… in the file that says the image, and nothing else."""
    root = Path(arguments.tree).resolve() if arguments.tree else ROOT
    has_recipes(root)
    source = Folder(root)
    places, told = pin.wanted(source, recipes_of(recipes.names(source), arguments.recipes))
    sys.stdout.writelines(f"{line}\n" for line in told)
    found = pin.asked(Registry(), places)
    for one in found:
        sys.stdout.write(f"{one.place}: {_line(one)}\n")
    changed = [one for one in found if one.old != one.new]
    if arguments.check:
        return Exit.CHECK_FAILED if changed else Exit.OK
    for one in changed:
        write_whole(root / one.file, pin.rewritten(source.read(one.file), one))
    return Exit.OK


def _line(one: pin.Pin) -> str:
    """What was found, and what it was before."""
    if one.old == one.new:
        return f"{one.new} is what the registry has"
    if not one.old.digest:
        return f"{one.old} is {one.new.digest} today"
    return f"{one.old.path}:{one.old.tag} is {one.new.digest} today; the recipe says {one.old.digest}"
