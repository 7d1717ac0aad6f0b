"""What parity makes of a change: one failure makes all of it invalid, and what was not tested is said."""

from __future__ import annotations

import pytest

from tests.utils.results.conftest import Records, sides
from utils.node.record import Accuracy, Record
from utils.results.verdict import present
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger


def _with(record: Record, verdict: str, name: str = "decode at 1") -> Record:
    one = Accuracy.model_validate(
        {"kind": "parity", "name": name, "verdict": verdict, "why": f"it {verdict}"}
    )
    return record.model_copy(update={"accuracy": [one]})


def _said(
    pair: Records, noise: Ledger, head: tuple[str, str], base: str = "passed"
) -> tuple[set[str | None], str]:
    """Words and comment of a change whose head runs have these verdicts on one of two points, and whose base's last run has that."""
    records = [
        _with(one, base if one.arm == "base" else head[one.run_index - 1])
        if one.point.endswith("c1") and one.run_index
        else one
        for one in pair(slower=0.9)
    ]
    found = compare(*sides(records), noise, confirmation=False)
    return {m.word for point in found.points for m in point.metrics.values()}, present.markdown(found)


def test_a_failed_parity_makes_all_of_the_change_invalid(pair: Records, noise: Ledger) -> None:
    """Whatever its speed, and at whichever point: 10 % faster is nothing if the answers are others."""
    words, comment = _said(pair, noise, ("passed", "failed"))
    assert words == {"invalid"}
    assert "its answers are not the base" in comment
    assert "decode at 1: it failed" in comment


def test_a_passed_one_changes_nothing(pair: Records, noise: Ledger) -> None:
    """And is said."""
    words, comment = _said(pair, noise, ("passed", "passed"))
    assert words == {"improvement"}
    assert "answers are the base's: 1 check passed, of 2 points" in comment.replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("head", "base"), [(("not tested", "passed"), "passed"), (("failed", "failed"), "failed")]
)
def test_what_is_not_tested_is_said(pair: Records, noise: Ledger, head: tuple[str, str], base: str) -> None:
    """A probe without the kernel's path; or a base that differs from itself, beside which no head can fail."""
    words, comment = _said(pair, noise, head, base)
    assert words == {"improvement"}
    assert "was not tested" in comment
