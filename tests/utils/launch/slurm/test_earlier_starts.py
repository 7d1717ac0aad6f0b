"""Nodes where Slurm had begun a job before: those that the launcher heard of, those that only the accounting knows, and what it says of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.utils.launch.slurm.made import an_attempt
from utils.launch.journal import Memory, Notebook
from utils.launch.slurm import client, earlier_starts
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.receive import Left
from utils.launch.slurm.states import JobState
from utils.launch.slurm.tracking import Tracking

LEFT = Left("/tmp/spool/abc", "/tmp/servematrix-abc.log", "python3")  # noqa: S108 - a node's
HEARD = Memory(slurm=7, name="a/b", node="mi2", earlier=["mi0"], starts={0: "mi0", 1: "mi2"})
UNHEARD = Memory(slurm=7, name="a/b", node="mi2", earlier=[], starts={1: "mi2"})
"""The first start was over before the first poll."""


def sacct(monkeypatch: pytest.MonkeyPatch, rows: str | None) -> list[list[str]]:
    """What the accounting answers; none is an error."""
    asked = []

    def call(command: list[str], **_: object) -> str:
        asked.append(command)
        if rows is None:
            raise SlurmError("sacct", "Slurm accounting storage is disabled", unanswered=False)
        return rows

    monkeypatch.setattr(client, "call", call)
    return asked


def test_the_accounting_is_not_asked_for_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start was heard of."""
    asked = sacct(monkeypatch, None)
    assert earlier_starts.nodes(HEARD, 1, LEFT) == (["mi0"], [])
    assert earlier_starts.nodes(HEARD.model_copy(update={"earlier": [], "starts": {0: "mi2"}}), 0, LEFT) == (
        [],
        [],
    )
    assert asked == []


def test_a_start_that_nobody_heard_of_is_found_in_the_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `--duplicates`, which has a row for each start (sacct(1))."""
    asked = sacct(monkeypatch, "7|REQUEUED|0:0|mi1|a/b\n7|COMPLETED|0:0|mi2|a/b\n")
    assert earlier_starts.nodes(UNHEARD, 1, LEFT) == (["mi1"], [])
    assert "--duplicates" in asked[0]


def test_what_was_heard_proves_more_starts_than_slurm_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounting, which is asked of a job that the controller forgot, has no count of starts."""
    sacct(monkeypatch, "7|REQUEUED|0:0|mi1|a/b\n7|REQUEUED|0:0|mi0|a/b\n")
    late = UNHEARD.model_copy(update={"starts": {2: "mi2"}})
    nodes, notes = earlier_starts.nodes(late, 0, LEFT)
    assert (sorted(nodes), notes) == (["mi0", "mi1"], []), "the last start may not be in it yet"


def test_another_job_of_the_number_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers begin anew after the largest one."""
    sacct(monkeypatch, "7|COMPLETED|0:0|old9|other/job\n7|COMPLETED|0:0|mi2|a/b\n")
    nodes, notes = earlier_starts.nodes(UNHEARD, 1, LEFT)
    assert (nodes, len(notes)) == ([], 1)


def test_memory_of_an_older_version_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not note starts; the nodes that it noted are cleared."""
    asked = sacct(monkeypatch, None)
    old = Memory.model_validate({"slurm": 7, "name": "a/b", "node": "mi2", "earlier": ["mi0"]})
    assert earlier_starts.nodes(old, 1, LEFT) == (["mi0"], [])
    assert asked == []


def test_starts_are_remembered_by_the_next_launcher(tmp_path: Path) -> None:
    """Through the notebook's JSON, whose keys are text."""
    notes = Notebook(tmp_path, "j")
    notes.write(HEARD)
    assert notes.read() == HEARD


@pytest.mark.parametrize(
    "rows", [None, "", "7|COMPLETED|0:0|mi2|a/b\n", "7|PENDING|0:0||a/b\n7|COMPLETED|0:0|mi2|a/b\n"]
)
def test_a_start_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch, rows: str | None) -> None:
    """With the place, so that a person can look."""
    sacct(monkeypatch, rows)
    nodes, (note,) = earlier_starts.nodes(UNHEARD, 1, LEFT)
    assert nodes == []
    assert "started job 7 2 times, and of 1 of these starts the node is not known" in note
    assert "./servematrix collect --job 7 --node NODE DIR" in note
    assert f"{LEFT.work} and {LEFT.log}" in note


def test_each_start_is_noted_with_its_node(tmp_path: Path) -> None:
    """Also one on the node of the one before; a job that waits has none."""
    heard: list[tuple[int, str, int]] = []
    attempt = an_attempt(tmp_path)
    attempt.results.mkdir(parents=True)
    track = Tracking(attempt, lambda _: None, lambda *one: heard.append(one), lambda _: None, 1.0)
    for state, node, restarts in (
        ("PENDING", "", 0),
        ("RUNNING", "mi1", 0),
        ("REQUEUED", "", 1),
        ("RUNNING", "mi1", 1),
        ("RUNNING", "mi1", 1),
        ("PENDING", "", 3),
        ("RUNNING", "mi2", 3),
    ):
        track.says(
            [JobState(id=7, name="n", state=state, reason="", exit_code="0:0", node=node, restarts=restarts)]
        )
    assert [one for one in heard if one[1]] == [(7, "mi1", 0), (7, "mi1", 1), (7, "mi2", 3)]
