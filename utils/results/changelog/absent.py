"""Points of a recipe that a run left out, each with the reason, so that an entry speaks for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from matrix.expand import expand
from matrix.source import Folder
from matrix.tree import Tree
from utils.results.collect import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.results.collect import Missing


def absent(
    root: Path, head: Sequence[Record], folders: Iterable[Path] = (), left: Iterable[Missing] = ()
) -> dict[str, str]:
    """Point without its recipe -> why it has no record.

    Args:
        root: a checkout; its recipe says which points there are. Where it cannot be read, only what was planned is known.
        head: the records of one recipe.
        folders: of runs, whose plans say what else was to be measured.
        left: points that are known to be missing, with the reason.
    """
    recipes = {one.point.split("/")[0] for one in head}
    if len(recipes) != 1:
        return {}
    recipe = recipes.pop()
    there = {one.point for one in head}
    known = {one.point: one.why for folder in folders for one in missing(folder, head)}
    known |= {one.point: one.why for one in left}
    found = {
        point.split("/")[1]: why
        for point, why in known.items()
        if point.startswith(f"{recipe}/") and point not in there
    }
    every = _points(root, recipe)
    why = f"not in this run, which was of {len(there & {*every}) or len(there)} of {len(every)} points"
    return found | {
        point.split("/")[1]: why for point in every if point not in there and point.split("/")[1] not in found
    }


def _points(root: Path, recipe: str) -> list[str]:
    try:
        return [cell.id for cell in expand(Tree.of(Folder(root)), recipe)]
    except (HarnessError, OSError):
        return []
