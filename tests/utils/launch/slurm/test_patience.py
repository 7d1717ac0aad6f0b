"""How long a job is waited for in a state that does not change."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.utils.launch.slurm.made import tracked
from utils.launch.failures import classify
from utils.launch.signs_of_failures import Kind
from utils.launch.slurm import client, evidence
from utils.launch.slurm.states import JobState
from utils.launch.slurm.tracking import Tracking
from utils.node.events import Event


def waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shut: str
) -> tuple[Tracking, list[Event], list[int], Clock]:
    """A job that is followed, what is said of it, what is cancelled, and a clock that a test moves."""
    ended: list[int] = []
    clock = Clock()
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what["jobs"]))
    monkeypatch.setattr(time, "monotonic", clock)
    heard: list[Event] = []
    track, _ = tracked(tmp_path, heard)
    track.slurm, track.shut = 7, lambda: shut
    limits = track.attempt.cluster.limits.model_copy(update={"stuck_s": 100, "queue_s": 1000})
    cluster = track.attempt.cluster.model_copy(update={"limits": limits})
    track.attempt = replace(track.attempt, cluster=cluster)
    return track, heard, ended, clock


class Clock:
    """time.monotonic() of a test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The moment that the test says."""
        return self.now


def a_job(state: str, reason: str = "") -> JobState:
    return JobState(id=7, name="j", state=state, reason=reason, exit_code="", node="", restarts=0)


def test_a_state_that_stays_unknown_is_not_waited_for_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After limits.stuck_s the job is ended as infra, once, without another try; a known word in between begins anew."""
    track, heard, ended, clock = waits(tmp_path, monkeypatch, "")
    for moment, state in (
        (0, "NEW_WORD"),
        (90, "NEW_WORD"),
        (95, "RUNNING"),
        (100, "NEW_WORD"),
        (199, "NEW_WORD"),
    ):
        clock.now = 1000.0 + moment
        track.says([a_job(state)])
    assert ended == []
    assert not track.finished()
    for moment in (201, 202):
        clock.now = 1000.0 + moment
        track.says([a_job("NEW_WORD")])
    assert ended == [7]
    clock.now += 1
    assert track.finished()
    verdict = classify(evidence.facts(track, cancelled_by_us=False))
    assert (verdict.kind, verdict.exit_code, verdict.final) == (Kind.INFRA, Exit.INFRA_FAILED, True)
    assert verdict.cause.startswith("Slurm's state NEW_WORD, which servematrix does not know, did not end")
    assert "limits.stuck_s" in verdict.cause
    assert sum("does not know: NEW_WORD" in event["text"] for event in heard) >= 1


def test_a_job_that_does_not_complete_is_not_waited_for_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its script said no last word, and its processes do not end."""
    track, _, ended, clock = waits(tmp_path, monkeypatch, "")
    track.says([a_job("COMPLETING")])
    clock.now += 99
    track.says([a_job("COMPLETING")])
    assert ended == []
    assert not track.finished()
    clock.now += 2
    track.says([a_job("COMPLETING")])
    clock.now += 1
    assert track.finished()
    assert track.gave_up.startswith("Slurm's state COMPLETING did not end; it was waited for 101 s")


def test_a_job_that_began_has_its_own_time_in_an_unknown_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its script runs under the new word: it is not ended within the time that it may take."""
    track, _, ended, clock = waits(tmp_path, monkeypatch, "")
    track.begun = True
    track.says([a_job("NEW_WORD")])
    clock.now += track.attempt.job.walltime_s + 99
    track.says([a_job("NEW_WORD")])
    assert ended == []
    clock.now += 2
    track.says([a_job("NEW_WORD")])
    assert ended == [7]


def test_a_partition_without_a_node_is_not_waited_for_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong is said at once, with the bound; then the job ends as infra with that sentence."""
    shut = "no node of partition compute is up: mi0 down* (Not responding)"
    track, heard, ended, clock = waits(tmp_path, monkeypatch, shut)
    track.says([a_job("PENDING", "Resources")])
    assert f"{shut}; the job is ended if that lasts 100 s (limits.stuck_s)" in heard[-1]["text"]
    clock.now += 101
    track.says([a_job("PENDING", "Resources")])
    assert ended == [7]
    assert classify(evidence.facts(track, cancelled_by_us=False)).cause.startswith(shut)


def test_a_job_waits_for_its_turn_longer_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nodes are up, limits.queue_s is the bound; 0 is none."""
    track, _, ended, clock = waits(tmp_path, monkeypatch, "")
    track.says([a_job("PENDING", "Priority")])
    clock.now += 999
    track.says([a_job("PENDING", "Priority")])
    assert ended == []
    forever = track.attempt.cluster.limits.model_copy(update={"queue_s": 0})
    bounded = track.attempt
    track.attempt = replace(bounded, cluster=bounded.cluster.model_copy(update={"limits": forever}))
    clock.now += 10**7
    track.says([a_job("PENDING", "Priority")])
    assert ended == []
    track.attempt = bounded
    track.says([a_job("PENDING", "Priority")])
    assert ended == [7]
    assert "PENDING Priority (limits.queue_s)" in track.gave_up
