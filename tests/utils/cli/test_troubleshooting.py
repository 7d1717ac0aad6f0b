"""docs/troubleshooting.md has advice for each way in which a command can end."""

from __future__ import annotations

import re

from matrix.errors import Exit
from tests.conftest import ROOT


def test_every_exit_code_has_its_line() -> None:
    """By its number in the first column; only the good end needs none."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    found = {int(number) for cell in cells for number in re.findall(r"\b\d+\b", cell)}
    assert found == {int(code) for code in Exit} - {Exit.OK}


def test_links_of_the_docs_lead_somewhere() -> None:
    """Files and pictures beside them, of every page and of the README."""
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    lost = [
        (page.name, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert lost == []
