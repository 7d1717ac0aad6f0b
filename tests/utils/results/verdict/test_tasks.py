"""A task that both arms answered: its verdict and scores in comment and changelog, and what a failed one makes of the change."""

from __future__ import annotations

import pytest

from tests.utils.results.conftest import Records, sides
from utils.node.evaluation import compared
from utils.node.record import Accuracy, Record
from utils.results.changelog import entries
from utils.results.changelog.edit import Stub, add
from utils.results.verdict import present
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger


def _with(record: Record, right: int) -> Record:
    """The base answers 97 of 100 questions, and a head so many of the same."""
    base = {str(n): n < 97 for n in range(100)}
    mine = {str(n): n < right for n in range(100)} if record.arm == "head" else base
    one = compared("gsm8k", {"score": sum(mine.values()) / 100, "questions": 100.0}, mine, base)
    if record.run_index == 0:
        one = Accuracy(
            kind="task", name="gsm8k", verdict="not tested", why="the first run", figures={"score": 0.97}
        )
    return record.model_copy(update={"accuracy": [one]})


@pytest.mark.parametrize(
    ("right", "words", "said"),
    [(96, {"improvement"}, "passed 97.0% to 96.0%"), (80, {"invalid"}, "failed 97.0% to 80.0%")],
)
def test_scores_and_verdict_are_everywhere(
    pair: Records, noise: Ledger, right: int, words: set[str], said: str
) -> None:
    """One question of a hundred is chance; seventeen are not, and then the change is invalid though it is 10 % faster."""
    base, head = sides([_with(one, right) for one in pair(slower=0.9)])
    found = compare(base, head, noise, confirmation=False)
    assert {m.word for point in found.points for m in point.metrics.values()} == words
    comment = present.markdown(found)
    assert f"97.0 % → {right}.0 % of 100 questions, {97 - right} lost and 0 won" in comment
    text = add(b"", "perf-changelog.yaml", head, base, Stub(1, "t", ("w",)), comparison=found)
    line = entries.read(text.encode()).root["r"][0].points["32x16-tp1-c1"]
    assert line.accuracy == {"gsm8k": said}
