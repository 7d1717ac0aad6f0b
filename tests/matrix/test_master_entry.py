"""docs/coming-from-inferencex.md shows an entry of a master file and the recipe that it becomes; both mean the same points."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from matrix.errors import HarnessError
from matrix.expand import expand
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT, write
from utils.results.changelog import entries

THEIRS, OURS, CHANGELOG = re.findall(
    r"```yaml\n(.*?)```", (ROOT / "docs/coming-from-inferencex.md").read_text(), re.DOTALL
)
NAME = "dsv4-fp8-mi300x-vllm"


def with_recipe(tmp_path: Path, text: str) -> Tree:
    write(
        tmp_path / "recipes/clusters/mi300x-amd.yaml",
        (ROOT / "recipes/clusters/mi300x-amd.yaml").read_text(),
    )
    write(tmp_path / f"recipes/{NAME}.yaml", text)
    return Tree.of(Folder(tmp_path))


def test_the_recipe_has_the_entrys_points(tmp_path: Path) -> None:
    """Concurrency doubles and has its end; the length is input, output and 256."""
    entry = yaml.safe_load(THEIRS)[NAME]
    (lengths,) = entry["scenarios"]["fixed-seq-len"]
    (row,) = lengths["search-space"]
    wanted = [row["conc-start"]]
    while wanted[-1] < row["conc-end"]:
        wanted.append(min(2 * wanted[-1], row["conc-end"]))
    cells = expand(with_recipe(tmp_path, OURS), NAME)
    assert [cell.id for cell in cells] == [f"{NAME}/8k1k-tp{row['tp']}-c{c}" for c in wanted]
    assert {cell.max_model_len for cell in cells} == {lengths["isl"] + lengths["osl"] + 256}
    recipe = yaml.safe_load(OURS)
    assert [recipe[key] for key in ("model", "image", "precision")] == [
        entry[key] for key in ("model", "image", "precision")
    ]


def test_an_entry_that_is_put_there_as_it_is_says_what_to_write(tmp_path: Path) -> None:
    """Each key that has another name here, or none."""
    with pytest.raises(HarnessError) as refused:
        expand(with_recipe(tmp_path, yaml.safe_dump(yaml.safe_load(THEIRS)[NAME])), NAME)
    said = str(refused.value)
    for key in ("model-prefix", "multinode"):
        assert f"unknown key '{key}'; leave it out" in said
    for key in ("runner", "framework", "scenarios"):
        assert f"unknown key '{key}'; write " in said


def test_the_changelogs_entry_is_one() -> None:
    """With a source instead of a head."""
    log = entries.read(CHANGELOG.encode())
    assert log.root[NAME][0].source
