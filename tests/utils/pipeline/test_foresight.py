"""What a plan says before it costs anything."""

from __future__ import annotations

from matrix import select
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from utils.pipeline import foresight, other_arm
from utils.results.verdict.ledger import Ledger

RECIPE = "qwen3moe-tiny-cpu-vllm"


def test_runs_and_hours_of_changes_and_that_nothing_differs() -> None:
    """Of something against itself; more runs for smaller changes; without a pair nothing is said."""
    tree = Tree.of(Folder(ROOT))
    plan = select.chosen(tree, [RECIPE], other_arm.base_of(RECIPE, ROOT, tree, [RECIPE]))
    first, second = foresight.lines(plan, Ledger())
    assert "nothing differs between the arms" in first
    assert second.startswith("a change of one point in throughput is found four times in five: 2 % with ")
    assert "5 % with --runs " in second
    assert "1 % a run is assumed" in second
    assert foresight.lines(select.chosen(tree, [RECIPE]), Ledger()) == []
