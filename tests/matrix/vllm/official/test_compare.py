"""A recipe beside official facts: three lists, each line at its place, reasons, and what is no difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import HarnessError
from matrix.expand import expand
from matrix.source import Folder
from matrix.tree import Tree
from matrix.vllm.official import compare, facts
from matrix.vllm.official.facts import Facts, Feature, Layer, Origin
from tests.conftest import ROOT, write
from tests.matrix.vllm import made

FACTS = Facts(
    source=Origin(path="m.yaml", date="2026-02-03"),
    model="org/model-FP8",
    variant="default",
    gpu="mi300x",
    gpus=8,
    image="vllm/vllm-openai-rocm:v0.32.0",
    flags={"block-size": "128", "async-scheduling": True, "attention-config.indexer_kv_dtype": "fp8"},
    env={"A": "1", "HF_HUB_CACHE": "/cache"},
    features={"tools": Feature(flags={"tool-call-parser": "p"}, default=True)},
    layouts={"tp8": Layer(), "tp8-ep8": Layer(env={"EP": "1"})},
)
RECIPE = """\
model: org/model-FP8
precision: fp8
image: vllm/vllm-openai-rocm:v0.32.0
cluster: c
serve:
  flags: {block-size: 128, async-scheduling: true, attention-config: {indexer_kv_dtype: fp8}, tool-call-parser: p}
  env: {A: "1"}
  when:
  - {ep: ">=2", env: {EP: "1"}}
official: {facts: f}
workloads:
- {isl: 32, osl: 16, search: [{tp: 8, concurrency: 1..2}, {tp: 8, ep: 8, concurrency: 4}]}
"""
CLUSTER = made.CLUSTER + "env: {HF_HUB_CACHE: /cache}\n"


def lines(root: Path, old: str = "", new: str = "") -> list[str]:
    """The differences of a recipe with one change."""
    assert old in RECIPE
    write(root / "recipes/r.yaml", RECIPE.replace(old, new, 1) if old else RECIPE)
    write(root / "recipes/clusters/c.yaml", CLUSTER)
    write(root / "recipes/official/f.yaml", facts.text(FACTS))
    return [f"{one.where}: {one}" for one in compare.of_recipe(Tree.of(Folder(root)), "r")]


def test_equal_meanings_are_no_difference(tmp_path: Path) -> None:
    """A mapping and a dotted part, 128 and "128", what the cluster gives, a layout's own variable, a digest."""
    assert lines(tmp_path) == []
    assert (
        lines(tmp_path, "attention-config: {indexer_kv_dtype: fp8}", "attention-config.indexer_kv_dtype: FP8")
        == []
    )
    assert lines(tmp_path, "block-size: 128", "quantization: None, block-size: '128'") == []
    assert lines(tmp_path, "v0.32.0", f"v0.32.0@sha256:{'a' * 64}") == []


CASES = {
    "a flag of ours": ("{block-size: 128", "{max-num-seqs: 7, block-size: 128", "ours only: recipes/r.yaml:6:11: flag max-num-seqs: 7"),
    "a flag of theirs": ("async-scheduling: true, ", "", "theirs only: recipes/r.yaml:6:3: flag async-scheduling: true"),
    "another value": ("block-size: 128", "block-size: 64", "different: recipes/r.yaml:6:11: flag block-size: 64, theirs 128"),
    "a part of a mapping": ("indexer_kv_dtype: fp8", "indexer_kv_dtype: bf16", "different: recipes/r.yaml:6:71: flag attention-config.indexer_kv_dtype: bf16, theirs fp8"),
    "a part of a mapping of one": ("{block-size: 128", "{compilation-config: {mode: vllm_compile}, block-size: 128", "ours only: recipes/r.yaml:6:32: flag compilation-config.mode: 3"),
    "a part that is a flag": ("{indexer_kv_dtype: fp8}", "{indexer_kv_dtype: fp8, backend: triton_attn}", "ours only: recipes/r.yaml:6:52: flag attention-backend: TRITON_ATTN"),
    "another spelling": ("block-size: 128", "block-size: 128, max-num-batched-tokens: 16K", "ours only: recipes/r.yaml:6:28: flag max-num-batched-tokens: 16384"),
    "a rule": ("- {ep", '- {concurrency: 2, env: {A: "0"}}\n  - {ep', "different: recipes/r.yaml:9:28: env A: 0, theirs 1 (1 of 3 points)"),
    "a layout's variable": ('env: {EP: "1"}', 'env: {OTHER: "1"}', "theirs only: recipes/r.yaml:7:3: env EP: 1 (1 of 3 points)"),
    "an image": ("rocm:v0.32.0", "rocm:v0.31.0", "different: recipes/r.yaml:3:1: image: vllm/vllm-openai-rocm:v0.31.0, theirs vllm/vllm-openai-rocm:v0.32.0"),
    "a model": ("org/model-FP8", "org/other-FP8", "different: recipes/r.yaml:1:1: model: org/other-FP8, theirs org/model-FP8"),
    "a layout of theirs": (", {tp: 8, ep: 8, concurrency: 4}]}", ", {tp: 4, ep: 4, concurrency: 4}]}", "theirs only: recipes/r.yaml:11:1: layout tp8-ep8"),
    "a layout of ours": ("{tp: 8, concurrency: 1..2}", "{tp: 4, concurrency: 1..2}", "ours only: recipes/r.yaml:12:31: layout tp4 (2 of 3 points)"),
    "a feature": ("{facts: f}", "{facts: f, features: []}", "ours only: recipes/r.yaml:6:95: flag tool-call-parser: p"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_difference_has_its_list_and_place(tmp_path: Path, case: str) -> None:
    """And for how many points it holds, where not for all."""
    old, new, told = CASES[case]
    assert told in lines(tmp_path, old, new)


def test_a_reason_explains(tmp_path: Path) -> None:
    """By name, of a part also by the whole flag's; nothing that is explained is in a comment."""
    told = lines(
        tmp_path,
        "official: {facts: f}",
        "official: {facts: f, features: []}\nbecause: {tool-call-parser: clients call tools}",
    )
    assert told == ["ours only: recipes/r.yaml:6:95: flag tool-call-parser: p, because clients call tools"]
    whole = RECIPE.replace("kv_dtype: fp8", "kv_dtype: bf16") + "because: {attention-config: it is meant}\n"
    write(tmp_path / "recipes/r.yaml", whole)
    tree = Tree.of(Folder(tmp_path))
    assert [one.because for one in compare.of_recipe(tree, "r")] == ["it is meant"]
    whole = (
        RECIPE.replace("kv_dtype: fp8", "kv_dtype: fp8, backend: triton_attn")
        + "because: {attention-config: it is meant}\n"
    )
    write(tmp_path / "recipes/r.yaml", whole)
    assert [one.because for one in compare.of_recipe(tree, "r")] == ["it is meant"]
    assert compare.unexplained(tree, ["r"]) == []


def test_facts_that_are_not_there_are_an_error_of_the_recipe(tmp_path: Path) -> None:
    """Before anything runs, with what there is."""
    with pytest.raises(HarnessError, match=r"r\.yaml:10:12: no facts 'g'; known: f"):
        lines(tmp_path, "{facts: f}", "{facts: g}")
    with pytest.raises(HarnessError, match=r"10:40: f has no feature 'tols'; did you mean 'tools'"):
        lines(tmp_path, "{facts: f}", "{facts: f, features: [tools, tols]}")


def test_the_shipped_recipes_explain_what_they_do_otherwise() -> None:
    """Those that name an official recipe; the key of a point does not depend on it."""
    tree = Tree.of(Folder(ROOT))
    found = compare.of_recipe(tree, "minimaxm3-fp8-mi300x-vllm-aiter")
    assert [one.name for one in found] == ["enable-prefix-caching", "tp1-ep8-dp8", "image"]
    assert all(one.because for one in found)
    names = [f"minimaxm3-fp8-mi300x-vllm-aiter{end}" for end in ("", "-ep-bf16", "-ep-mxfp8")]
    assert compare.unexplained(tree, names) == []
    assert not any("official" in cell.parts for cell in expand(tree, names[0]))
