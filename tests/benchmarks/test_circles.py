"""No two modules need each other, not even for a type: a newcomer can read each one after those that it imports."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT


def imports(file: Path, root: Path) -> set[Path]:
    """The files below a root that a file imports anywhere in it."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        else:
            continue
        found |= {root / f"{name.replace('.', '/')}.py" for name in names}
    return {one for one in found if one.is_file()}


def check(root: Path, *parts: str) -> None:
    files = [file for part in parts for file in (root / part).rglob("*.py")]
    TopologicalSorter({file: imports(file, root) for file in files}).prepare()


def test_no_circle() -> None:
    """In matrix, utils and kernels."""
    check(ROOT, "matrix", "utils", "kernels")


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Also one that is for a type alone."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.py").write_text("from a import two\n")
    (tmp_path / "a/two.py").write_text("def f() -> None:\n    from a.one import g\n")
    with pytest.raises(CycleError):
        check(tmp_path, "a")
