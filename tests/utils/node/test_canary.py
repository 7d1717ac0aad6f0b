"""What a canary's points decide: the first one whether the job can work, the later ones nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import Exit
from matrix.plan import Point
from utils.node import run
from utils.node.exceptions import RunFailed
from utils.node.spec import NodeJob

Command = Callable[..., tuple[list[str], Path]]


@pytest.mark.parametrize(
    "case", [(True, 0, Exit.CLIENT_FAILED), (True, 1, Exit.OK), (False, 1, Exit.CLIENT_FAILED)]
)
@pytest.mark.parametrize("died", [False, True], ids=["its client fails", "its server dies"])
def test_the_first_point_alone_ends_a_job(
    node_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[bool, int, Exit],
    died: bool,  # noqa: FBT001 - from the table
) -> None:
    """A point that fails while the server lives, and one under which it dies."""
    canary, at, ends = case
    path = node_command()[0][-1]
    spec = NodeJob.model_validate(json.loads(Path(path).read_text())).model_copy(update={"canary": canary})
    asked: list[Point] = []

    def point(self: run._Run, bench: object, one: Point) -> Exit:
        del self, bench
        asked.append(one)
        if len(asked) - 1 != at:
            return Exit.OK
        if died:
            raise RunFailed(Exit.CLIENT_FAILED, "the server ended under load")
        return Exit.CLIENT_FAILED

    monkeypatch.setattr(run._Run, "_start", lambda _: None)
    monkeypatch.setattr(run._Run, "_point", point)
    assert run.run_job(spec, lambda _: None) == ends
    assert len(asked) == (at + 1 if died else 2)
