"""A recipe's `accuracy:`: what it may say, where it goes, and that no key knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix import select
from matrix.errors import HarnessError
from matrix.evaluation import Evaluation
from matrix.source import Folder
from matrix.tree import Tree


def test_it_is_in_the_plan_and_in_no_key(tree: Path) -> None:
    """A task moves no figure of speed, so a recipe that asks for one measures nothing anew."""
    before = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0].points
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text() + "accuracy: {task: gsm8k, limit: 300}\n")
    after = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0].points
    assert {point.accuracy for point in before} == {None}
    assert {point.accuracy for point in after} == {Evaluation(task="gsm8k", limit=300)}
    assert [point.key for point in before] == [point.key for point in after]


@pytest.mark.parametrize(
    "text",
    [
        "{task: ../x}",
        "{task: a b}",
        "{task: '--help'}",
        "{limit: 3}",
        "{task: t, limit: 0}",
        "{task: t, tasks: u}",
    ],
)
def test_what_it_cannot_be(tree: Path, text: str) -> None:
    """A name that is an option or a path, no task, no question, a word that is none."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text() + f"accuracy: {text}\n")
    with pytest.raises(HarnessError, match=r"recipes/r\.yaml:"):
        select.chosen(Tree.of(Folder(tree)), ["r"])
