"""A record cannot say that its answers are the base's where what it answered says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.utils.results.recompute.conftest import Honest
from utils.node import parity_answers
from utils.node.parity import Answer, Step
from utils.node.parity_answers import Heard
from utils.node.record import Accuracy, Record
from utils.results.recompute import check

pytestmark = pytest.mark.hostile
PROMPTS, TOKENS, CONCURRENCY = 64, 16, 64


def answers(seed: int, wrong: float = 0.0) -> list[Answer]:
    """Of a server with noise of its batch; `wrong` moves its log-probabilities."""
    true = np.random.default_rng(1).normal(size=(PROMPTS, TOKENS, 3))
    noise = np.random.default_rng(seed)
    moved = true + noise.normal(0, 0.01, true.shape) + wrong * noise.normal(size=true.shape)
    return [
        tuple(
            Step(int(np.argmax(row)), float(row.max()), {n: float(value) for n, value in enumerate(row)})
            for row in prompt
        )
        for prompt in moved
    ]


def heard(seed: int, wrong: float = 0.0) -> Heard:
    texts = [[step.logprob for step in answer] for answer in answers(seed + 10, wrong)]
    again = [[step.logprob for step in answer] for answer in answers(seed + 20)]
    return Heard(answers(seed, wrong), texts, answers(seed + 30), again)


@pytest.fixture
def honest(allocation: dict[str, Honest]) -> Iterator[Honest]:
    """A real load, whose base left its answers."""
    one = allocation["head/c64"]
    base = one.folder.parent.parent / parity_answers.of_base(one.one.point)
    base.write_bytes(parity_answers.packed(heard(2)))
    yield one
    base.unlink()
    (one.folder / parity_answers.OWN).unlink(missing_ok=True)


def said(honest: Honest, own: Heard | None, record: Record) -> list[str]:
    if own is not None:
        (honest.folder / parity_answers.OWN).write_bytes(parity_answers.packed(own))
    return [str(one) for one in honest.differences(record)]


def with_word(honest: Honest, *found: Accuracy) -> Record:
    return honest.one.model_copy(update={"accuracy": list(found)})


def test_what_follows_from_the_answers_is_accepted(honest: Honest) -> None:
    """Passed or failed; and less than that, where the kernel's path was not taken."""
    for own in (heard(3), heard(4, wrong=1.0)):
        made = parity_answers.compared(own, heard(2), CONCURRENCY)
        assert said(honest, own, with_word(honest, *made)) == []
    assert made[0].verdict == "failed"
    own = heard(3)
    decode, prefill = parity_answers.compared(own, heard(2), CONCURRENCY)
    assert decode.verdict == prefill.verdict == "passed"
    less = decode.model_copy(update={"verdict": "not tested", "why": "the kernel's path over the probe"})
    assert said(honest, own, with_word(honest, less, prefill)) == []


def test_a_failure_cannot_be_left_out(honest: Honest) -> None:
    """Said to have passed, to be untested, or not said at all."""
    own = heard(4, wrong=1.0)
    decode, prefill = parity_answers.compared(own, heard(2), CONCURRENCY)
    passed = parity_answers.compared(heard(3), heard(2), CONCURRENCY)[0]
    untested = decode.model_copy(update={"verdict": "not tested"})
    for record in (
        with_word(honest, passed, prefill),
        with_word(honest, untested, prefill),
        with_word(honest, prefill),
        with_word(honest),
        with_word(honest, decode.model_copy(update={"kind": "task"}), prefill),
    ):
        assert any("accuracy.decode at 64" in one for one in said(honest, own, record))


def test_a_run_that_ended_before_it_said_its_parity_is_no_forgery(honest: Honest) -> None:
    """Its answers are there, and good: the record says less than they do."""
    assert said(honest, heard(3), with_word(honest)) == []


def test_a_task_that_no_recipe_asks_for_is_refused(honest: Honest) -> None:
    """Under the name of a parity it would be counted as one that passed."""
    word = Accuracy(kind="task", name="decode at 64", verdict="passed")
    assert "none of the recipe's" in said(honest, None, with_word(honest, word))[0]


def test_a_cut_file_of_the_base_costs_no_record(honest: Honest) -> None:
    """Nothing follows from it; a record that calls its parity passed is refused all the same."""
    base = honest.folder.parent.parent / parity_answers.of_base(honest.one.point)
    base.write_bytes(base.read_bytes()[:-50])
    assert said(honest, heard(3), with_word(honest)) == []
    passed = Accuracy(kind="parity", name="decode at 64", verdict="passed")
    assert "without answers of the base" in said(honest, heard(3), with_word(honest, passed))[0]


def test_a_pass_without_answers_is_refused(honest: Honest) -> None:
    """So is one of something that nobody asked; a run that says nothing was not tested, and the verdict says so."""
    passed = parity_answers.compared(heard(3), heard(2), CONCURRENCY)
    (one, two) = said(honest, None, with_word(honest, *passed))
    assert "without answers.json.gz" in one + two
    assert said(honest, None, with_word(honest)) == []
    more = Accuracy(kind="parity", name="decode at 9999", verdict="passed")
    assert "nothing that was asked" in said(honest, heard(3), with_word(honest, *passed, more))[0]


@pytest.mark.parametrize("harm", ["link", "text", "rows"])
def test_answers_that_cannot_be_read_are_one_refused_record(honest: Honest, harm: str) -> None:
    """Whatever lies in their place."""
    path = honest.folder / parity_answers.OWN
    if harm == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.write_bytes(b"x" if harm == "text" else parity_answers.packed(Heard([], [[]], [], [[]])))
    found = check.look(honest.one, honest.folder, honest.asked, honest.others, {}).differences
    assert [one.field for one in found] == ["files"]
