"""`servematrix check`: recipes, clusters, the changelog, and the files that are made from code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from matrix import cluster, select
from matrix.errors import Exit, HarnessError, Place, Problem
from matrix.source import Folder
from matrix.tree import Tree
from utils.cli.made_from_code import GENERATED
from utils.results.changelog import entries as changelog
from utils.setup.environments import ROOT
from utils.show.tables import counted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

EXAMPLE = "check"


def configure(parser: ArgumentParser) -> None:
    """Look, or write."""
    parser.add_argument("--write", action="store_true", help="write schemas and tables of docs anew")


_FOLDERS = {"recipes", "recipes/clusters"}
_WITH_FOLDERS = ("recipes/models/", "recipes/official/", "recipes/tasks/")
_PLACE = "is not read: recipes are files of recipes/ and clusters files of recipes/clusters/, not of folders below; move it"


def unread(paths: list[str]) -> list[Problem]:
    """Files that look like recipes or clusters, where none is looked for."""
    problems = []
    for path in paths:
        if path.endswith(".yml"):
            problems.append(Problem(Place(path), "is not read: recipes and clusters end in .yaml; rename it"))
        elif (
            path.endswith(".yaml")
            and path.rpartition("/")[0] not in _FOLDERS
            and not path.startswith(_WITH_FOLDERS)
        ):
            problems.append(Problem(Place(path), _PLACE))
    return problems


def run(arguments: Namespace) -> Exit:
    """Every recipe and cluster, the changelog, and every generated file."""
    problems: list[Problem] = []

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except HarnessError as error:
            problems.extend(error.problems or [Problem(Place("."), error.message)])

    tree = Tree.of(Folder(ROOT))
    notes: list[str] = []
    attempt(lambda: notes.extend(select.chosen(tree, []).notes))
    problems += unread(tree.recipes.files("recipes"))
    for name in cluster.names(tree.clusters):
        attempt(lambda name=name: cluster.load(tree.clusters, name))  # type: ignore[misc]  # a default binds the loop's value
    path = ROOT / changelog.FILE
    attempt(lambda: changelog.read(path.read_bytes() if path.exists() else b""))
    for name, make in GENERATED.items():
        file = ROOT / name
        old = file.read_text() if file.exists() else ""
        new = make(old)
        if new == old:
            continue
        if arguments.write:
            file.write_text(new)
            sys.stdout.write(f"wrote {name}\n")
        else:
            problems.append(
                Problem(
                    Place(name),
                    "differs from what code and recipes make (a new name is enough); write it with ./servematrix check --write",
                )
            )
    sys.stdout.writelines(f"note: {note}\n" for note in notes)
    if problems:
        raise HarnessError(Exit.CHECK_FAILED, counted(len(set(problems)), "problem"), problems)
    sys.stdout.write("check: recipes, clusters, changelog and generated files are in order\n")
    return Exit.OK
