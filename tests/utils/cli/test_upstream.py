"""`servematrix upstream`, and what a plan says of a recipe that changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import CLUSTER, RECIPE, Cli, commit, run_git, write
from tests.matrix.vllm.official.test_layers import FILE

OURS = RECIPE.replace("model: recipes/models/m", "model: org/Model").replace("bf16", "fp8")


def test_from_a_file_to_facts_to_a_comment(cli: Cli, git_tree: Path) -> None:
    """Compared, explained, written, and compared again without the file; a plan of what changed has the lines."""
    file = git_tree / "models/org/Model.yaml"
    write(file, FILE)
    write(git_tree / "recipes/clusters/local.yaml", CLUSTER.replace("model: cpu", "model: MI300X"))
    write(git_tree / "recipes/r.yaml", OURS)
    commit(git_tree, "the official file")
    head = run_git(git_tree, "rev-parse", "HEAD").strip()
    at = ("--tree", str(git_tree), "--official", str(file))
    done = cli("upstream", "r", *at)
    assert done.returncode == Exit.CHECK_FAILED, done.stderr
    assert (
        f"r beside vllm-project/recipes models/org/Model.yaml at {head[:10]} of 2026-02-03: default on mi300x"
        in done.stdout
    )
    assert "theirs only\n" in done.stdout
    assert "  recipes/r.yaml:7:11: flag block-size: 16, theirs 128" in done.stdout
    assert cli("upstream", "r", *at, "--write").returncode == Exit.USAGE
    assert cli("upstream", "r", "--tree", str(git_tree)).returncode == Exit.USAGE

    write(
        git_tree / "recipes/r.yaml", OURS + "official: {facts: model}\nbecause: {block-size: it is small}\n"
    )
    done = cli("upstream", "r", *at, "--write", "--all")
    assert "wrote recipes/official/model.yaml" in done.stdout
    assert "theirs 128, because it is small" in done.stdout
    kept = cli("upstream", "r", "--tree", str(git_tree)).stdout
    assert "block-size" not in kept
    assert "1 explained (--all shows them)" in kept
    write(file, FILE.replace('"--max_num_seqs=64"', '"--max_num_seqs=32"').replace("guide:", "guides:"))
    done = cli("upstream", "r", *at)
    assert "the facts that r names say something else than this file" in done.stdout
    assert f"not understood: {file}:32:1: 'guides' is not known here" in done.stdout

    commit(git_tree, "the recipe names it")
    write(
        git_tree / "recipes/r.yaml", (git_tree / "recipes/r.yaml").read_text().replace("size: 16", "size: 32")
    )
    done = cli("plan", "--tree", str(git_tree), "--changed", "main", "--format", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["upstream"]
    assert "theirs only: recipes/r.yaml:7:3: flag async-scheduling: true" in told
    assert not any("block-size" in line for line in told)
    assert json.loads(cli("plan", "--tree", str(git_tree), "--format", "json").stdout)["upstream"] == []


def test_what_cannot_be_compared(cli: Cli, tree: Path) -> None:
    """Each with what to do."""
    for words, told in {
        ("upstream", "rr"): "no recipe 'rr'; did you mean 'r'?",
        ("upstream", "r"): "r names no official recipe; give --official FILE",
        (
            "upstream",
            "r",
            "--official",
            "no.yaml",
        ): "no.yaml cannot be read (No such file or directory); name a file such as",
        ("upstream", "r", "--write"): "--write wants --official FILE",
    }.items():
        done = cli(*words, "--tree", str(tree))
        assert done.returncode in {Exit.USAGE, Exit.NOTHING_SELECTED}
        assert told in done.stderr


@pytest.mark.parametrize("verb", ["upstream", "pin", "plan"])
def test_a_tree_that_is_none_is_told(cli: Cli, tmp_path: Path, verb: str) -> None:
    """Not that it lacks the recipe."""
    done = cli(verb, "r", "--tree", str(tmp_path / "gone"))
    assert done.returncode == Exit.USAGE
    assert "gone has no recipes/; --tree wants the root of a checkout" in done.stderr


@pytest.mark.parametrize("verb", ["upstream", "pin"])
def test_a_pattern_names_recipes_as_everywhere(cli: Cli, git_tree: Path, verb: str) -> None:
    """Those without a counterpart are passed over; one that is asked for by name is not."""
    at = ("--tree", str(git_tree))
    if verb == "upstream":
        done = cli(verb, "r*", *at)
        assert done.returncode == Exit.OK, done.stderr
        assert done.stdout == "r names no official recipe\n"
        assert cli(verb, "r", *at).returncode == Exit.USAGE
    done = cli(verb, "q*", *at)
    assert done.returncode == Exit.NOTHING_SELECTED
    assert "no recipe 'q*'; known: r" in done.stderr
