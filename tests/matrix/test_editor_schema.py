"""The editor's schema and `check`, over the same recipes: what one takes the other takes, and what it cannot say is listed here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from matrix import cluster, editor_schema, recipe
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import RECIPE, ROOT
from tests.matrix import test_cluster, test_recipe
from tests.matrix.vllm import test_recipe_check, test_spelling
from utils.cli.made_from_code import GENERATED

SCHEMA = json.loads((ROOT / "matrix/recipe.schema.json").read_bytes())
CLUSTERS = json.loads((ROOT / "matrix/cluster.schema.json").read_bytes())
ABOUT_CLUSTERS_NOT_ITS_BUSINESS = {
    "fewer GPUs than a node has": "arithmetic over two keys",
    "one GPU": "arithmetic over two keys",
    "no core for the server": "arithmetic over two keys",
    "a slip": "a site's plugin may have such an option",
}
NOT_ITS_BUSINESS = {
    "duplicate key": "YAML's, which editors say by themselves",
    "octal of yaml 1.1": "a YAML reader's own",
    "base 60": "a YAML reader's own",
    "binary": "a YAML reader's own",
    "hexadecimal": "a YAML reader's own",
    "underscore": "a YAML reader's own",
    "impossible ep": "arithmetic over several keys",
    "too many devices": "the cluster file's",
    "backward range": "arithmetic",
    "collision": "two rows of a search",
    "unknown model": "a folder of the tree",
    "unlocked image": "a lock of the tree",
    "short context": "arithmetic",
    "extends itself": "several files",
    "a fraction of nothing": "1024.0 is an integer to JSON Schema",
    "tag": "a YAML reader's own",
    "two documents": "YAML's",
    "a tab": "YAML's",
    "a colon in a text": "YAML's",
    "not yaml": "YAML's",
    "a space that is none": "YAML's",
    "a condition without quotes": "YAML's",
    "an empty value": "a YAML reader's own",
}
"""Mistakes that `check` finds and a schema cannot."""


@cache
def validator(text: str) -> jsonschema.Draft202012Validator:
    """Of a schema, by its text."""
    return jsonschema.Draft202012Validator(json.loads(text))


def errors(schema: dict[str, Any], text: str) -> list[str]:
    """What an editor would underline."""
    found = validator(json.dumps(schema)).iter_errors(yaml.safe_load(text))
    return [f"{one.json_path}: {one.message[:200]}" for one in found]


def of(folder: Path) -> dict[str, Any]:
    """The schema for another tree."""
    model = recipe.Recipe.model_json_schema(by_alias=True)
    return editor_schema.schema(model, editor_schema.Known.of(Tree.of(Folder(folder))))


def test_the_schema_is_a_schema() -> None:
    """And is the committed one."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert GENERATED["matrix/recipe.schema.json"]("") == (ROOT / "matrix/recipe.schema.json").read_text()


@pytest.mark.parametrize("name", recipe.names(Folder(ROOT)))
def test_every_shipped_recipe_is_taken(name: str) -> None:
    """Also the variants, which have neither model nor workloads of their own."""
    assert errors(SCHEMA, (ROOT / f"recipes/{name}.yaml").read_text()) == []


@pytest.mark.parametrize("name", cluster.names(Folder(ROOT)))
def test_every_shipped_cluster_is_taken(name: str) -> None:
    """By the clusters' schema."""
    assert errors(CLUSTERS, (ROOT / f"recipes/clusters/{name}.yaml").read_text()) == []


def test_a_good_cluster_is_taken() -> None:
    """The one that mistakes are made in."""
    jsonschema.Draft202012Validator.check_schema(CLUSTERS)
    assert GENERATED["matrix/cluster.schema.json"]("") == (ROOT / "matrix/cluster.schema.json").read_text()
    assert errors(CLUSTERS, test_cluster.GOOD) == []


@pytest.mark.parametrize("case", test_cluster.BAD)
def test_what_check_refuses_of_a_cluster_is_underlined(case: str) -> None:
    """Every mistake of the other test, unless a schema cannot say it; then it must really not."""
    old, new, _ = test_cluster.BAD[case]
    found = errors(CLUSTERS, test_cluster.GOOD.replace(old, new, 1))
    assert bool(found) == (case not in ABOUT_CLUSTERS_NOT_ITS_BUSINESS), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("slurm: {", "runner: x # {"),
        ("launcher: slurm", "launcher: local"),
        ("squash: /images/$UID, ", ""),
        ("runtime: pyxis,", "runtime: pyxis, remap_root: true,"),
        ("VLLM_NO_USAGE_STATS:", "VLLM_NO_USAGE_STAT:"),
        ('VLLM_NO_USAGE_STATS: "1"', 'VLLM_CONFIGURE_LOGGING: "0"'),
    ],
)
def test_what_parts_of_a_cluster_say_together_is_underlined(old: str, new: str) -> None:
    """As `check` does."""
    assert old in test_cluster.GOOD
    assert errors(CLUSTERS, test_cluster.GOOD.replace(old, new, 1))


@pytest.mark.parametrize("case", test_recipe.BAD)
def test_what_check_refuses_is_underlined(tree: Path, case: str) -> None:
    """Every mistake of the other test, unless a schema cannot say it; then it must really not."""
    old, new, _ = test_recipe.BAD[case]
    text = RECIPE.replace(old, new, 1)
    try:
        found = errors(of(tree), text)
    except yaml.YAMLError:
        assert case in NOT_ITS_BUSINESS
        return
    assert bool(found) == (case not in NOT_ITS_BUSINESS), found


@pytest.mark.parametrize(
    ("module", "case"), [(one, case) for one in (test_recipe_check, test_spelling) for case in one.BAD]
)
def test_what_check_refuses_of_vllms_words_is_underlined(
    tmp_path: Path, module: ModuleType, case: str
) -> None:
    """Flags and variables, by the version that the image names, and what other tools write."""
    old, new, _ = module.BAD[case]
    test_recipe_check.cells(tmp_path)
    text = (tmp_path / "recipes/r.yaml").read_text()
    assert errors(of(tmp_path), text) == []
    assert old in text
    assert bool(errors(of(tmp_path), text.replace(old, new, 1))) == (case not in module.BEYOND_A_SCHEMA)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("extends: r\nmodel: null\n", True),
        ("extends: r\nserve: {flags: {block-size: null}, env: null}\n", True),
        ("extends: r\nkernel: {variant: null}\n", True),
        ("extends: r\nserve: {when: [{isl: 32, env: {A: null}, flags: {seed: null}}]}\n", True),
        ("extends: r\nprecision: 16\n", False),
        ("extends: s\n", False),
        ("precision: bf16\n", False),
        (RECIPE.replace("precision: bf16", "precision: null"), False),
        (RECIPE.replace("  flags: {block-size: 16}", "  flags: null"), False),
    ],
)
def test_variants_may_leave_out_and_take_away(tree: Path, text: str, fine: object) -> None:
    """And nobody else."""
    assert (errors(of(tree), text) == []) == fine


def test_flags_are_completed() -> None:
    """An editor sees every name, with its choices."""
    flags = SCHEMA["$defs"]["Flags"]["properties"]
    assert "max-num-batched-tokens" in flags
    assert "TRITON_ATTN" in json.dumps(flags["attention-backend"])
    assert "tensor-parallel-size" not in flags, "search says it"
