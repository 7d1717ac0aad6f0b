"""Names by which scripts outside of this tree replay reports of users: each is defined in a module whose path has the word in it."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

NAMES = {
    "gates": ("JIT",),
    "load": ("parse",),
    "gpus": ("amd",),
    "failures": ("Facts", "Kind"),
    "slurm": ("Node", "COLUMNS", "from_squeue"),
    "": ("RunFailed", "decisive_lines", "read_counters", "classify", "may_command"),
}
"""Part of the path -> names."""


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in NAMES.items() for name in names])
def test_it_is_found(part: str, name: str) -> None:
    """Renaming one of them breaks those scripts: say so in CHANGELOG.md, and here."""
    pattern = rf"^(?:def|class) {name}\b|^{name}\s*[:=]"
    paths = (
        path for path in sorted((ROOT / "utils").rglob("*.py")) if part in path.relative_to(ROOT).as_posix()
    )
    assert any(re.search(pattern, path.read_text(), re.MULTILINE) for path in paths)
