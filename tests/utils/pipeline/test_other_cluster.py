"""`--cluster`: a recipe on another cluster than it names, with keys of its own there, in both arms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from matrix import select
from matrix.errors import Exit
from matrix.plan import Plan
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import Cli, commit, write
from utils.pipeline.other_arm import base_of


@pytest.fixture
def two(git_tree: Path) -> Path:
    """A tree with a second cluster, equal to the first."""
    write(git_tree / "recipes/clusters/twin.yaml", (git_tree / "recipes/clusters/local.yaml").read_text())
    commit(git_tree, "twin")
    return git_tree


def made(root: Path, pair: str, cluster: str) -> Plan:
    tree = replace(Tree.of(Folder(root)), cluster=cluster)
    return select.chosen(tree, ["r"], base_of(pair, root, tree, ["r"]) if pair else None, None)


@pytest.mark.parametrize("pair", ["", "main"])
def test_the_other_cluster_is_in_job_and_key(two: Path, pair: str) -> None:
    """And nothing else of the plan changes."""
    (own,), (moved,) = made(two, pair, "").jobs, made(two, pair, "twin").jobs
    assert (own.cluster, moved.cluster) == ("local", "twin")
    assert (moved.base is not None) == bool(pair)
    was, now = list(own.points), list(moved.points)
    if own.base and moved.base:
        was, now = was + own.base.points, now + moved.base.points
    for before, after in zip(was, now, strict=True):
        assert before.key != after.key
        assert {part for part in before.parts if before.parts[part] != after.parts[part]} == {"cluster"}
        assert after.vary == []


def test_an_unknown_one_is_a_usage_error(cli: Cli, two: Path) -> None:
    """With what was probably meant."""
    done = cli("plan", "r", "--tree", str(two), "--cluster", "loca")
    assert done.returncode == Exit.USAGE
    assert "--cluster loca: no such cluster; did you mean 'local'?" in done.stderr
