"""`servematrix upstream`: recipes beside vLLM's official ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix import recipe as recipes
from matrix.errors import Exit, HarnessError
from matrix.expand import expand
from matrix.select import recipes_of
from matrix.source import Folder, git
from matrix.tree import Tree
from matrix.vllm.official import compare, document, facts, layers
from utils.cli.example import LARGE
from utils.node.files import write_whole
from utils.pipeline.ask import has_recipes
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from matrix.errors import Problem

EXAMPLE = f"upstream {LARGE}-aiter --all"


def configure(parser: ArgumentParser) -> None:
    """Recipes, and where the official one is."""
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="names of recipes, or patterns")
    parser.add_argument(
        "--official",
        metavar="FILE",
        help="the official recipe's YAML, such as models/ORG/MODEL.yaml of a checkout of vllm-project/recipes "
        "(default: the facts in recipes/official/ that the recipe names)",
    )
    parser.add_argument("--all", action="store_true", help="also what the recipe explains in because:")
    parser.add_argument(
        "--write", action="store_true", help="write what FILE says into the facts that the recipe names"
    )
    parser.add_argument("--tree", metavar="DIR", help="take recipes from another checkout")


def run(arguments: Namespace) -> Exit:
    """Three lists a recipe: what only ours has, what only theirs has, what differs."""
    root = Path(arguments.tree).resolve() if arguments.tree else ROOT
    has_recipes(root)
    tree = Tree.of(Folder(root))
    if arguments.write and not arguments.official:
        raise HarnessError(Exit.USAGE, "--write wants --official FILE, whose facts it writes")
    clean = True
    for name in recipes_of(recipes.names(tree.recipes), arguments.recipes):
        one, _ = recipes.load(tree.recipes, name)
        if not (one.official or arguments.official or name in arguments.recipes):
            sys.stdout.write(f"{name} names no official recipe\n")
            continue
        clean = _one(tree, root, name, arguments) and clean
    return Exit.OK if clean else Exit.CHECK_FAILED


def _one(tree: Tree, root: Path, name: str, arguments: Namespace) -> bool:
    """Whether nothing is unexplained, and all of the official file was understood."""
    recipe, _ = recipes.load(tree.recipes, name)
    kept = _kept(tree, recipe)
    unclear: list[Problem] = []
    found = kept
    if arguments.official:
        found, unclear = _read(tree, recipe, Path(arguments.official))
        if arguments.write:
            _write(root, name, recipe, found)
    if found is None:
        expand(tree, name)  # says which facts there are, where the recipe names others
        raise HarnessError(
            Exit.USAGE,
            f"{name} names no official recipe; give --official FILE, or name facts with official: in {recipes.FOLDER}/{name}.yaml",
        )
    differences = compare.of_recipe(tree, name, found)
    sys.stdout.write(f"{name} beside {found.title}\n")
    _show(differences, with_reasons=arguments.all)
    sys.stdout.writelines(f"not understood: {one}\n" for one in unclear)
    if kept and kept.model_copy(update={"source": found.source}) != found and not arguments.write:
        sys.stdout.write(
            f"the facts that {name} names say something else than this file; --write writes them anew\n"
        )
    return not unclear and all(one.because for one in differences)


def _kept(tree: Tree, recipe: recipes.Recipe) -> facts.Facts | None:
    """The facts that the recipe names, where they are there."""
    named = recipe.official
    return (
        facts.load(tree.recipes, named.facts) if named and named.facts in facts.names(tree.recipes) else None
    )


def _show(differences: list[compare.Difference], *, with_reasons: bool) -> None:
    """The lists that are not empty, and how many lines are in none of them."""
    for where in compare.LISTS:
        lines = [one for one in differences if one.where == where and (with_reasons or not one.because)]
        if lines:
            sys.stdout.write(f"{where}\n")
            sys.stdout.writelines(f"  {one}\n" for one in lines)
    explained = sum(bool(one.because) for one in differences)
    hidden = "" if with_reasons or not explained else " (--all shows them)"
    sys.stdout.write(f"{len(differences) - explained} unexplained, {explained} explained{hidden}\n")


def _read(tree: Tree, recipe: recipes.Recipe, file: Path) -> tuple[facts.Facts, list[Problem]]:
    """Facts of a file for the recipe's model on its cluster's GPU."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HarnessError(
            Exit.USAGE,
            f"{file} cannot be read ({error.strerror}); name a file such as models/ORG/MODEL.yaml of a checkout of vllm-project/recipes",
        ) from error
    read, unclear = document.read(content, str(file))
    devices = clusters.load(tree.clusters, recipe.cluster).devices
    full = file.resolve()
    inside = full.parts[full.parts.index("models") :] if "models" in full.parts else (full.name,)
    source = facts.Origin(
        path="/".join(inside), commit=_commit(full), date=read.meta.date_updated or read.meta.date_added
    )
    return layers.resolve(read, recipe.model, layers.gpu(devices.model), devices.count, source), unclear


def _commit(file: Path) -> str:
    """The checkout's commit, where the file is in one and is as committed; else empty."""
    try:
        changes = git(file.parent, "status", "--porcelain", "--", file.name)
        commit = git(file.parent, "rev-list", "-1", "HEAD", "--", file.name)
    except HarnessError:
        return ""
    return "" if changes.strip() else commit.decode().strip()


def _write(root: Path, name: str, recipe: recipes.Recipe, found: facts.Facts) -> None:
    if recipe.official is None:
        raise HarnessError(
            Exit.USAGE,
            f"{name} does not say which facts to write; add official: {{facts: NAME}} to {recipes.FOLDER}/{name}.yaml",
        )
    path = facts.path(recipe.official.facts)
    write_whole(root / path, facts.text(found).encode())
    sys.stdout.write(f"wrote {path}\n")
