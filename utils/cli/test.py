"""`servematrix test`: linters, then tests."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import REMAINDER
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.setup import debian, environments
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "test --quick"
KERNELS = "pytest on kernels"
SLURMS = 4
"""Test processes with a Slurm of their own."""


def configure(parser: ArgumentParser) -> None:
    """Which parts."""
    parser.add_argument(
        "--quick", action="store_true", help="leave out what starts a real server or a real Slurm"
    )
    parser.add_argument("--slurm", action="store_true", help="only what runs on a real Slurm, started for it")
    parser.add_argument("--nightly", action="store_true", help="only what is too slow for every change")
    parser.add_argument("rest", nargs=REMAINDER, metavar="-- PYTEST_ARGUMENT", help="handed to pytest")


def steps(*, quick: bool, slurm: bool, rest: list[str], nightly: bool = False) -> list[tuple[str, list[str]]]:
    """The parts of `test`, each a name and the arguments of Python; `KERNELS` runs in an environment of its own.

    Tests on Slurm mostly wait, so that several run at once, each with a Slurm of its own; those that measure a real server run alone.
    """
    if nightly:
        return [("pytest, nightly", ["-m", "pytest", "-m", "nightly", *rest])]
    on_slurm = (
        "pytest on Slurm",
        ["-m", "pytest", "-m", "slurm and not real and not nightly", "-n", str(SLURMS), *rest],
    )
    if slurm:
        return [on_slurm]
    pick = f"not real and not slurm and not nightly{' and not debian' if quick else ''}"
    found = [
        ("ruff check", ["-m", "ruff", "check", "--quiet", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "--quiet", "."]),
        ("mypy", ["-m", "mypy"]),
        ("import directions", ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"]),
        ("dead code", ["-m", "vulture"]),
        ("check", ["-m", "utils.cli", "check"]),
        ("pytest", ["-m", "pytest", "-m", pick, "-n", "2", *rest]),
    ]
    measuring = ("pytest that measures", ["-m", "pytest", "-m", "real and not nightly", *rest])
    on_kernels = (KERNELS, ["-m", "pytest", "-n", "2", "tests/kernels", *rest])
    return found if quick else [*found, measuring, on_kernels, on_slurm]


def run(arguments: Namespace) -> Exit:
    """Linters, then tests; all of them run, and the first that failed is named at the end."""
    rest = arguments.rest[1:] if arguments.rest[:1] == ["--"] else arguments.rest

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    environment = environments.for_tests(tell)
    if not arguments.quick:
        debian.ensure(tell)
        environments.for_kernels(tell)
    failed = []
    chosen = steps(quick=arguments.quick, slurm=arguments.slurm, nightly=arguments.nightly, rest=rest)
    for name, command in chosen:
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
