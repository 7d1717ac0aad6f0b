"""An import that nothing explains: one more try on another node, which is not blamed. Without Slurm: what a block decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from matrix.errors import Exit, HarnessError
from utils.launch.failures import Verdict
from utils.launch.journal import Memory
from utils.launch.signs_of_failures import Kind
from utils.launch.slurm.attempts import Block

VERDICT = Verdict(
    Kind.BENCHMARK,
    "the image could not be imported on the node",
    Exit.IMAGE_FAILED,
    ("last",),
    once_more=True,
)


@dataclass
class Decided(Block):
    """A block that notes what it would do."""

    did: list[Any] = field(default_factory=list)
    refused: bool = False

    def tell(self, text: str) -> None:
        """Said to the person."""
        self.did.append(text)

    def _again(self, old: Memory, new: Memory, why: str) -> None:
        if self.refused:
            raise HarnessError(Exit.SLURM_FAILED, "no other node")
        self.did.append((old.node, new.tried, new.tries, why))

    def _called_off_meanwhile(self) -> bool:
        return False

    def _done(self, verdict: Verdict) -> None:
        self.did.append(verdict)


def block(memory: Memory, *, refused: bool = False) -> Decided:
    nothing: Any = None
    return Decided(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing, memory=memory, refused=refused
    )


def test_the_node_is_left_out_and_not_blamed() -> None:
    """The next attempt counts as a try, so that there is only one."""
    made = block(Memory(node="mi0"))
    made.judge(VERDICT)
    said, again = made.did
    assert "one more try, on another node" in said
    assert again == ("mi0", ["mi0"], 1, "unexplained: the image could not be imported on the node")


@pytest.mark.parametrize("memory", [Memory(node="mi1", tries=1, tried=["mi0"]), Memory()])
def test_it_is_tried_once_more_only(memory: Memory) -> None:
    """Nor where nobody knows which node it was."""
    made = block(memory)
    made.judge(VERDICT)
    assert made.did == [VERDICT]


def test_without_another_node_the_reason_stays() -> None:
    """With what Slurm said beside the last lines."""
    made = block(Memory(node="mi0"), refused=True)
    made.judge(VERDICT)
    assert made.did[-1].cause == VERDICT.cause
    assert made.did[-1].evidence == ("last", "no other node")


def test_what_was_cancelled_is_not_tried_again() -> None:
    """A person has ended it."""
    made = block(Memory(node="mi0"))
    made.cancelled = True
    made.judge(VERDICT)
    assert made.did == [VERDICT]
