"""docs/trust.md says of four actors and five assets what refuses them, and names tests that there are."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import ROOT

PAGE = ROOT / "docs/trust.md"
ACTORS = (
    "outsider with a fork",
    "contributor with an approved sweep",
    "person with write access",
    "broken node",
)
ASSETS = 5
LEAST = 120


def cells() -> list[str]:
    """The table, without heads."""
    rows = [
        line
        for line in PAGE.read_text().splitlines()
        if line.startswith(tuple(f"| {name} |" for name in ACTORS))
    ]
    return [cell.strip() for row in rows for cell in row.strip("|").split("|")[1:]]


def test_all_twenty_cells_are_written() -> None:
    """Each refused, with a test, or accepted, with a reason."""
    found = cells()
    assert len(found) == len(ACTORS) * ASSETS
    for cell in found:
        assert re.match(r"(refused|accepted)\b", cell), cell
        assert "accepted" in cell or re.search(r"`test_\w+`", cell), cell


def test_every_test_that_the_table_names_is_there() -> None:
    """By its name, in a file of tests."""
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert {name for cell in cells() for name in re.findall(r"`(test_\w+)`", cell)} <= known


def test_enough_is_tried() -> None:
    """Hostile vectors, each a test of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "hostile", "--collect-only", "tests/utils/sweeps", "tests/utils/show", "tests/matrix"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    found = re.search(r"(\d+)(?:/\d+)? tests? collected", done.stdout)
    assert found is not None, done.stdout[-500:]
    assert int(found[1]) >= LEAST
