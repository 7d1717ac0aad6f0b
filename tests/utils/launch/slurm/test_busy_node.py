"""What a job left on a node that other jobs of the run keep busy is fetched once the node is free; with a FAKE srun that says so, as Slurm 22.05 did."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.utils.launch.slurm.made import an_attempt
from utils.launch.slurm import client, retrieval_job, tracking
from utils.launch.slurm.earlier_starts import EarlierStarts
from utils.launch.slurm.tracking import Tracking
from utils.node.events import Event

BUSY = "srun: error: Unable to allocate resources: Requested nodes are busy"


@pytest.fixture
def srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: how often srun was asked. It is turned away twice, then finds that nothing is there."""
    count = tmp_path / "count"
    count.write_text("0")
    script = tmp_path / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\nn=$(cat {count}); echo $((n + 1)) >{count}\n"
        f'if [ "$n" -lt 2 ]; then echo "{BUSY}" >&2; exit 1; fi\necho \'{{"missing": "x"}}\'; exit 3\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setattr(retrieval_job, "AGAIN_S", 0.2)
    monkeypatch.setattr(tracking, "_closed", lambda _: None)
    monkeypatch.setattr("utils.launch.slurm.earlier_starts._shut", lambda _: "")
    return count


def to_the_end(step: object, limit_s: float = 20) -> float:
    began = time.monotonic()
    while not step():  # type: ignore[operator]  # a function without arguments
        assert time.monotonic() - began < limit_s
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize(("others", "asked"), [([True, True, True], 3), ([True, False], 2), ([False], 1)])
def test_it_is_asked_again_while_others_of_the_run_wait_and_once_after(
    srun: Path, tmp_path: Path, others: list[bool], asked: int
) -> None:
    """Without others nothing would change by waiting; the last one may have ended a moment before."""
    attempt = an_attempt(tmp_path)
    staged = replace(attempt, cluster=attempt.cluster.model_copy(update={"storage": "staged"}))
    said = iter(others)
    heard: list[Event] = []
    track = Tracking(
        staged, heard.append, lambda *_: None, lambda _: None, 1.0, node="mi0", busy=lambda: next(said, False)
    )

    def step() -> bool:
        track.read()
        return track.finished() and not track.fetches() if track.fetching else not track.fetches()

    to_the_end(step)
    track.close()
    assert int(srun.read_text()) == asked
    assert bool(track.problem) is (asked < 3)


def fetched(tmp_path: Path, others: Callable[[], bool] = lambda: False) -> tuple[Tracking, list[Event]]:
    """A job that is over, whose node has been asked for what is left, to the end."""
    attempt = an_attempt(tmp_path)
    staged = replace(attempt, cluster=attempt.cluster.model_copy(update={"storage": "staged"}))
    heard: list[Event] = []
    track = Tracking(staged, heard.append, lambda *_: None, lambda _: None, 1.0, node="mi0", busy=others)

    def step() -> bool:
        track.read()
        return track.finished() and not track.fetches() if track.fetching else not track.fetches()

    to_the_end(step)
    track.close()
    return track, heard


@pytest.mark.parametrize(
    ("states", "left"),
    [
        (["idle*", "unknown*", ""], False),
        (["allocated*", ""], False),
        (["down*", ""], True),
        (["idle*"] * 99, True),
    ],
)
def test_a_node_that_is_silent_for_a_moment_is_waited_for(
    srun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: list[str], *, left: bool
) -> None:
    """As after a restart of the controller or of its daemon; one that is down is not, and none for ever."""
    srun.write_text("2")  # it finds that nothing is there
    monkeypatch.setattr(retrieval_job, "LIMIT_S", 1.0)
    seen = iter(states)

    def closed(name: str) -> client.Node | None:
        state = next(seen, "")
        return client.Node(name, state, "") if state else None

    monkeypatch.setattr(tracking, "_closed", closed)
    _, heard = fetched(tmp_path)
    assert (int(srun.read_text()) == 2) is left
    assert any("stays there" in event.get("text", "") for event in heard) is left


@pytest.mark.parametrize(("broken", "asked"), [(1, 2), (2, 3), (9, 3)])
def test_a_small_job_that_breaks_off_is_tried_again_twice(
    srun: Path, tmp_path: Path, broken: int, asked: int
) -> None:
    """Its node's daemon may have been restarted just then."""
    said = "srun: error: Task launch for StepId=7.0 failed on node mi0: Communication connection failure"
    script = tmp_path / "bin" / "srun"
    script.write_text(script.read_text().replace(BUSY, said).replace("-lt 2", f"-lt {broken}"))
    track, _ = fetched(tmp_path)
    assert int(srun.read_text()) == asked
    assert bool(track.problem) is (broken >= asked)


def test_tries_that_were_turned_away_are_not_counted_as_broken_off(srun: Path, tmp_path: Path) -> None:
    """A node that was busy for long may still have its daemon restarted after that."""
    broke_off = "srun: error: Task launch for StepId=7.0 failed on node mi0: Communication connection failure"
    script = tmp_path / "bin" / "srun"
    breaks = f'elif [ "$n" -lt 5 ]; then echo "{broke_off}" >&2; exit 1; fi'
    script.write_text(script.read_text().replace("-lt 2", "-lt 3").replace("fi", breaks))
    said = iter([True] * 3)
    track, _ = fetched(tmp_path, others=lambda: next(said, False))
    assert int(srun.read_text()) == 6
    assert not track.problem


@pytest.mark.parametrize(("states", "left"), [(["idle*", "unknown*", ""], False), (["down*", ""], True)])
def test_what_an_earlier_start_left_on_a_silent_node_is_waited_for(
    srun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: list[str], *, left: bool
) -> None:
    """The same of a node where Slurm had begun the job before."""
    srun.write_text("2")
    attempt = an_attempt(tmp_path)
    seen = iter(states)
    monkeypatch.setattr("utils.launch.slurm.earlier_starts._shut", lambda _: next(seen, ""))
    starts = EarlierStarts.of(attempt.cluster, attempt.left, ["mi0"], lambda _: tmp_path, lambda: False)
    to_the_end(starts.step)
    assert bool(starts.notes) is left
    assert (int(srun.read_text()) == 2) is left


@pytest.mark.parametrize(("others", "asked"), [([True, True, True], 3), ([True, False], 2), ([False], 1)])
def test_what_an_earlier_start_left_is_asked_for_as_often(
    srun: Path, tmp_path: Path, others: list[bool], asked: int
) -> None:
    """The same of a node where Slurm had begun the job before; a folder aside is made once."""
    attempt = an_attempt(tmp_path)
    said = iter(others)
    made: list[str] = []

    def aside(why: str) -> Path:
        made.append(why)
        return tmp_path / "aside"

    earlier = EarlierStarts.of(attempt.cluster, attempt.left, ["mi1"], aside, lambda: next(said, False))
    to_the_end(earlier.step)
    assert int(srun.read_text()) == asked
    assert bool(earlier.notes) is (asked < 3)
    assert len(made) == 1
