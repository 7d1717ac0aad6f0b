"""What a job left on a node that other jobs of the run keep busy is fetched once the node is free; with a FAKE srun that says so, as Slurm 22.05 did."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.utils.launch.slurm.made import an_attempt
from utils.launch.slurm import retrieval_job, tracking
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
