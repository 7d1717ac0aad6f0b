"""docs/gates.md tells of the lies that are tried, and of what each gate cannot see."""

from __future__ import annotations

from tests.liar.lies import LIES
from tests.liar.table import BEGIN, DOCS, written
from utils.node.blind_spots import CANNOT_SEE
from utils.node.gates import GATES


def test_the_table_of_lies_is_current() -> None:
    """`python -m tests.liar.table` writes it."""
    text = DOCS.read_text()
    assert BEGIN in text
    assert written(text) == text


def test_every_gate_says_what_it_cannot_see() -> None:
    """And every gate that a lie names is one."""
    assert list(CANNOT_SEE) != []
    assert CANNOT_SEE.keys() == {gate.__name__ for gate in GATES}
    assert {lie.gate for lie in LIES if lie.gate} <= CANNOT_SEE.keys()
