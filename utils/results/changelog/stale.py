"""Where perf-changelog.yaml does not speak for a checkout's recipes any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.expand import expand
from matrix.recipe import names
from matrix.source import Folder
from matrix.tree import Tree
from utils.results.changelog import entries as changelog

if TYPE_CHECKING:
    from pathlib import Path


def stale(log: changelog.Changelog, root: Path) -> list[str]:
    """Where the newest entries differ from a checkout's recipes."""
    tree = Tree.of(Folder(root))
    known = names(tree.recipes)
    found = []
    for recipe, entries in log.root.items():
        if recipe not in known:
            found.append(f"{recipe}: no such recipe any more")
            continue
        keys = {cell.id.split("/")[1]: cell.key for cell in expand(tree, recipe)}
        found += [f"{recipe}: {line}" for line in changelog.stale(entries, keys)]
    return found
