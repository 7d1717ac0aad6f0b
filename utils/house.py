"""`check` and `test`: what holds the tree together, and the files that are made from code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError, Place, Problem
from utils.setup import debian, environments
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


KERNELS = "pytest on kernels"
SLURMS = 4
"""Test processes with a Slurm of their own."""


def check(arguments: Namespace) -> Exit:
    """Every recipe and cluster, the changelog, and every generated file."""
    from matrix import cluster, select  # noqa: PLC0415 - `test` needs none of this
    from matrix.source import Folder  # noqa: PLC0415
    from matrix.tree import Tree  # noqa: PLC0415
    from utils.generated import GENERATED  # noqa: PLC0415
    from utils.results import changelog  # noqa: PLC0415

    problems: list[Problem] = []

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except HarnessError as error:
            problems.extend(error.problems or [Problem(Place("."), error.message)])

    tree = Tree.of(Folder(ROOT))
    attempt(lambda: select.chosen(tree, []))
    unread = [path for path in tree.recipes.files("recipes") if path.endswith(".yml")]
    problems += [Problem(Place(path), "is not read: recipes and clusters end in .yaml") for path in unread]
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
                    Place(name), "differs from what the code makes; write it with ./servematrix check --write"
                )
            )
    if problems:
        raise HarnessError(Exit.CHECK_FAILED, f"{len(set(problems))} problems", problems)
    sys.stdout.write("check: recipes, clusters, changelog and generated files are in order\n")
    return Exit.OK


def steps(*, quick: bool, slurm: bool, rest: list[str]) -> list[tuple[str, list[str]]]:
    """The parts of `test`, each a name and the arguments of Python; `KERNELS` runs in an environment of its own.

    Tests on Slurm mostly wait, so that several run at once, each with a Slurm of its own; those that measure the real vLLM run alone.
    """
    on_slurm = ("pytest on Slurm", ["-m", "pytest", "-m", "slurm and not real", "-n", str(SLURMS), *rest])
    if slurm:
        return [on_slurm]
    pick = "not real and not slurm and not debian" if quick else "not real and not slurm"
    found = [
        ("ruff check", ["-m", "ruff", "check", "--quiet", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "--quiet", "."]),
        ("mypy", ["-m", "mypy"]),
        ("import directions", ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"]),
        ("check", ["-m", "utils.cli", "check"]),
        ("pytest", ["-m", "pytest", "-m", pick, "-n", "2", *rest]),
    ]
    measuring = ("pytest that measures", ["-m", "pytest", "-m", "real", *rest])
    on_kernels = (KERNELS, ["-m", "pytest", "-n", "2", "tests/kernels", *rest])
    return found if quick else [*found, measuring, on_kernels, on_slurm]


def test(arguments: Namespace) -> Exit:
    """Linters, then tests; all of them run, and the first that failed is named at the end."""

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    environment = environments.for_tests(tell)
    if not arguments.quick:
        debian.ensure(tell)
        environments.for_kernels(tell)
    failed = []
    for name, command in steps(quick=arguments.quick, slurm=arguments.slurm, rest=arguments.rest):
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        python = environments.for_kernels(tell).python if name == KERNELS else environment.python
        done = subprocess.run([str(python), *command], cwd=ROOT, env=variables, check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        raise HarnessError(Exit.CHECK_FAILED, f"failed: {', '.join(failed)}")
    return Exit.OK
