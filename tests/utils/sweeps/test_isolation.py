"""Nobody's unmerged code changes what another verdict reads: ledger and quarantine are the same whatever a pull request's head did."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.utils.results.conftest import Records, pair, records
from utils.launch.failures import Facts, classify
from utils.launch.signs_of_failures import LINES
from utils.node.record import Record
from utils.results.verdict import ledger

pytestmark = pytest.mark.hostile

__all__ = ["pair", "records"]
KINDS = ("quieter", "louder", "faster", "another card", "nothing")


def forged(one: Record, kind: str, chance: random.Random) -> Record:
    """What a head may write into its records."""
    if one.arm == "base" or one.steady is None:
        return one
    if kind == "another card":
        return one.model_copy(
            update={"node": one.node.model_copy(update={"gpu_model": "MI355X", "driver": "9"})}
        )
    if kind == "nothing":
        return one.model_copy(update={"status": "failed", "whole": None, "steady": None})
    factor = {"quieter": 1.0, "louder": chance.uniform(0.2, 5), "faster": 1.5}[kind]
    rate = one.steady.total_tok_per_s_per_device * factor
    return one.model_copy(
        update={"steady": one.steady.model_copy(update={"total_tok_per_s_per_device": rate})}
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_head_changes_no_line_of_the_ledger(pair: Records, kind: str, seed: int) -> None:
    """Eight sweeps of a pull request that nobody merged, of whatever figures: the ledger is what their base's runs alone make it."""
    chance = random.Random(seed)  # noqa: S311 - of a test
    honest = attacked = ledger.Ledger()
    for number in range(8):
        noise = tuple(chance.gauss(1, 0.01) for _ in range(4))
        left = pair(noise=noise, allocation=f"sweep-{number}")
        honest = honest.with_records(left, "sweep")[0]
        attacked = attacked.with_records([forged(one, kind, chance) for one in left], "sweep")[0]
    assert ledger.text(attacked) == ledger.text(honest)
    assert {line.arm for line in attacked.differences} == {"base"}
    assert {line.issuer for line in attacked.differences} == {"sweep"}


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("row", range(len(LINES)))
def test_no_word_of_a_guest_puts_a_node_into_quarantine(row: int, *, known: bool, started: bool) -> None:
    """Every line of the table, said by a container: neither a node nor a shared cause is remembered, once a pull request's code could say it."""
    pattern = LINES[row].pattern
    texts = [line for path in Path("tests/data").glob("*.yaml") for line in path.read_text().splitlines()]
    said = next((line.strip()[:300] for line in texts if re.search(pattern, line)), "")
    facts = Facts(
        "FAILED", ended=1, asked=True, started=started, runs_ended=False, lines=(said,), guest_lines=(said,), foreign=True, image_known=known
    )  # fmt: skip
    found = classify(facts)
    if started or not known:
        assert not found.node
