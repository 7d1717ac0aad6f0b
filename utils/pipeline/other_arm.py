"""What `--pair BASE` means, and the base's files on disk."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import recipe
from matrix.errors import Exit, HarnessError, nearest
from matrix.pair import Base
from matrix.plan import Pairing
from matrix.source import Folder, Revision, names_of_revisions
from matrix.tree import Tree
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.source import Source

TREES = ROOT / ".trees"
"""Kernels and models of bases that were measured here, by commit."""
KERNEL_OFF = "kernel=off"
RECIPE = "recipe="
"""May stand before a recipe's name."""
ENTRY = re.compile(r"entry=(\d+|latest)|#(\d+)")


def base_of(name: str, root: Path, tree: Tree, selectors: Sequence[str]) -> Base:
    """The base that a name means: `kernel=off`, `entry=N`, a recipe of the tree, else a revision.

    Args:
        name: as it was given.
        root: the checkout whose head is measured.
        tree: the head's.
        selectors: of points, for an entry belongs to a recipe.

    Raises:
        HarnessError: USAGE for a name that is none of these.
    """
    rules = tree if root == ROOT else Tree.of(Folder(ROOT))
    recipes = recipe.names(tree.recipes)
    named = name.removeprefix(RECIPE)
    if name == KERNEL_OFF:
        return Base(Pairing(name=name, kind="kernel"), tree, rules)
    if match := ENTRY.fullmatch(name):
        commit = _entry(match[1] or match[2], tree, selectors)
    elif named not in recipes:
        commit = _revision(name, root, recipes)
    elif named == name and _is_revision(
        name, root
    ):  # a recipe of a change must not pose as what it is compared with
        raise HarnessError(
            Exit.USAGE,
            f"{name!r} is a revision and a recipe; write {RECIPE}{name} for the recipe, or the commit's 40 digits",
        )
    else:
        return Base(Pairing(name=named, kind="recipe"), tree, rules)
    try:
        source = Revision(root, commit)
    except HarnessError as error:
        raise HarnessError(
            Exit.USAGE,
            f"{commit[:12]} of {name} is not in this repository; a squash merge leaves it behind: git fetch origin refs/pull/N/head",
        ) from error
    # Both arms run in one allocation, from one environment: cluster and locks are the head's in both.
    before = replace(tree, recipes=source, kernels=source)
    return Base(Pairing(name=name, kind="revision", commit=commit), before, before)


def _is_revision(name: str, root: Path) -> bool:
    try:
        return bool(Revision(root, name).commit)
    except HarnessError:
        return False


def _revision(name: str, root: Path, recipes: list[str]) -> str:
    if not _is_revision(name, root) and _is_revision(f"origin/{name}", root):
        name = f"origin/{name}"  # a checkout of a commit has no branches of its own
    try:
        return Revision(root, name).commit
    except HarnessError as error:
        near = nearest(name, [*names_of_revisions(root), *recipes, KERNEL_OFF, "entry=latest"])
        hint = near or f"known recipes: {', '.join(recipes)}"
        raise HarnessError(
            Exit.USAGE,
            f"--pair wants a revision, entry=N, {KERNEL_OFF} or another recipe, and {name!r} is none of them here; {hint}",
        ) from error


def _entry(number: str, tree: Tree, selectors: Sequence[str]) -> str:
    """The commit that an entry was measured at: of this checkout's changelog, for another tree's could name any commit."""
    from utils.results.changelog import entries as changelog  # noqa: PLC0415 - only an entry needs it

    named = {text.split("/")[0] for text in selectors}
    path = ROOT / changelog.FILE
    log = changelog.read(path.read_bytes() if path.exists() else b"", changelog.FILE)
    recipes = [one for one in recipe.names(tree.recipes) if one in log.root and (not named or one in named)]
    found = {}
    for one in recipes:
        entries = [entry for entry in log.root[one] if not entry.is_stub]
        wanted = [entry for entry in entries if number == "latest" or entry.pr == int(number)]
        if wanted and wanted[0].head:
            found[one] = wanted[0].head.commit
        elif wanted:
            raise HarnessError(
                Exit.USAGE,
                f"the entry of {one} has `source:` ({wanted[0].source}): its figures were not measured here, "
                "and there is no commit to measure; name a revision",
            )
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found:
        raise HarnessError(
            Exit.USAGE,
            f"the entries of {', '.join(found)} were measured at several commits; select one recipe",
        )
    raise HarnessError(
        Exit.USAGE,
        f"{changelog.FILE} has no measured entry {number} of {', '.join(sorted(named)) or 'any recipe'}; "
        "see what there is: ./servematrix changelog show RECIPE",
    )


def on_disk(root: Path, pairing: Pairing | None) -> Path | None:
    """The base's kernels and models as files; None where they are the head's."""
    if pairing is None or not pairing.commit:
        return None
    folder = TREES / pairing.commit
    if not folder.is_dir():
        _write(Revision(root, pairing.commit), folder)
    return folder


def _write(source: Source, folder: Path) -> None:
    """Every readable file; what cannot be read is refused where it is wanted. Whole or not at all."""
    folder.parent.mkdir(exist_ok=True)
    private = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        for path in [*source.files("kernels"), *source.files("recipes")]:
            try:
                content = source.read(path)
            except HarnessError:
                continue
            (private / path).parent.mkdir(parents=True, exist_ok=True)
            (private / path).write_bytes(content)
        os.chmod(private, 0o755)  # noqa: PTH101, S103 - a container's user may read it
        private.rename(folder)
    except OSError:
        if not folder.is_dir():  # another launcher may have been first
            raise
    finally:
        shutil.rmtree(private, ignore_errors=True)
