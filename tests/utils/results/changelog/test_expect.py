"""`expect:` claims: holds, fails, undecided; only what was committed before the sweep counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import commit, run_git, write
from tests.utils.results.conftest import Records, sides
from utils.results.changelog import expect
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger

POINT = "32x16-tp1-c1"
STUB = """\
r:
- pr: 42
  title: T
  why: [w]
  expect: {32x16-tp1-c1: {tpot: "%s"}}
"""


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ("<= -5%", "holds"),
        (">= -15%", "holds"),
        ("<= -10%", "undecided"),
        ("<= -20%", "fails"),
        (">= 0%", "fails"),
    ],
)
def test_a_claim_is_held_against_the_whole_interval(
    pair: Records, noise: Ledger, claim: str, outcome: str
) -> None:
    """10 % less time, give or take 2 %."""
    found = compare(*sides(pair(slower=0.9) + pair(slower=0.9, block=2)), noise)
    said = {POINT: {"tpot": claim}}
    (one,) = expect.outcomes(found, "r", said, said)
    assert one.outcome == outcome
    assert one.point == f"r/{POINT}"


def test_without_an_interval_it_stays_undecided(pair: Records, noise: Ledger) -> None:
    """No ledger, a metric that nothing judges, a point that was not compared."""
    said = {POINT: {"tpot": "<= -5%", "power": "<= 0%"}, "32x16-tp1-c64": {"tpot": "<= -5%"}}
    found = expect.outcomes(compare(*sides(pair(slower=0.5)), Ledger()), "r", said, said)
    assert [one.outcome for one in found] == ["undecided"] * 3
    assert "nothing says what noise is" in found[0].why
    assert found[1].why == "it was not judged"
    assert found[2].why == "the point was not compared"
    judged = expect.outcomes(compare(*sides(pair()), noise), "r", said, said)
    assert judged[0].outcome == "fails"


def test_what_was_written_after_the_sweep_does_not_count(
    pair: Records, noise: Ledger, git_tree: Path
) -> None:
    """The commit that was measured says what was claimed; a claim that was changed since is told, and counts for nothing."""
    write(git_tree / "perf-changelog.yaml", STUB % "<= -20%")
    commit(git_tree, "stub")
    measured = run_git(git_tree, "rev-parse", "HEAD").strip()
    before = expect.committed(git_tree, measured, "r")
    assert before == {POINT: {"tpot": "<= -20%"}}
    found = compare(*sides(pair(slower=0.9) + pair(slower=0.9, block=2)), noise)
    first, late = expect.outcomes(found, "r", before, {POINT: {"tpot": "<= -5%"}})
    assert first.outcome == "fails"
    assert (late.outcome, late.why) == ("not counted", "it was not committed before the sweep")
    (gone,) = expect.outcomes(found, "r", before, {})
    assert gone.outcome == "fails", "a claim that was taken back counts all the same"
    assert expect.committed(git_tree, "f" * 40, "r") is None
    (one,) = expect.outcomes(found, "r", None, {POINT: {"tpot": "<= -5%"}})
    assert one.outcome == "not counted"


def test_an_entry_that_has_its_figures_claims_nothing(git_tree: Path) -> None:
    """Its sweep is over; a new change wants a stub of its own."""
    figures = '  date: 2026-06-15\n  source: x\n  points:\n    32x16-tp1-c1: {key: "k1:%s", tput: 1, ttft: 1, tpot: 1, n: 0+1}\n'
    write(git_tree / "perf-changelog.yaml", STUB % "<= -20%" + figures % ("3f" * 8))
    commit(git_tree, "measured")
    assert expect.committed(git_tree, run_git(git_tree, "rev-parse", "HEAD").strip(), "r") == {}
