"""What a job says is heard only in its own voice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from matrix.errors import Exit, HarnessError
from tests.utils.launch.slurm.made import TOKEN, an_attempt, tracked
from utils.launch.failures import classify
from utils.launch.signs_of_failures import Kind
from utils.launch.slurm import client, evidence, receive, submission, tracking
from utils.launch.slurm.states import JobState
from utils.node.events import Event


def test_a_container_cannot_speak_in_the_batch_scripts_name(tmp_path: Path) -> None:
    """Neither end the job, nor blame its node, nor name another one; the same words with the token count."""
    heard: list[Event] = []
    track, file = tracked(tmp_path, heard)
    forged: list[dict[str, Any]] = [
        {"kind": "begin", "name": "mi9", "facts": {"slurm": 99}},
        {"kind": "check", "text": "lies", "facts": {"passed": False}},
        {"kind": "srun", "name": "x"},
        {"kind": "end", "name": "job", "facts": {"exit": 0}, "token": "0" * 16},
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in forged))
    track.read()
    assert (track.slurm, track.node, track.ended, track.asked, track.failed_checks) == (None, "", None, 0, [])
    assert sum("it is ignored" in event["text"] for event in heard) == 4
    with file.open("a") as more:
        more.writelines(json.dumps({**one, "token": TOKEN}) + "\n" for one in forged)
    track.read()
    assert (track.slurm, track.node, track.ended, track.asked, track.failed_checks) == (
        99,
        "mi9",
        0,
        1,
        ["lies"],
    )


def test_what_a_run_wrote_last_is_shown_where_nothing_else_tells_why(tmp_path: Path) -> None:
    """It is not classified by: a guest could write a node's death. A link in its place is not read."""
    track, _ = tracked(tmp_path, [])
    folder = track.attempt.results / "run-0-head"
    folder.mkdir()
    (folder / "started").touch()
    (folder / "stderr.log").write_text("Segmentation fault\nError: Node failure on mi0\n")
    track.asked, track.ended, track.runs_ended = 1, 139, 0
    verdict = classify(evidence.facts(track, cancelled_by_us=False))
    assert verdict.kind is Kind.BENCHMARK
    assert "Segmentation fault" in verdict.evidence
    (folder / "stderr.log").unlink()
    (folder / "stderr.log").symlink_to("/etc/passwd")
    assert evidence.facts(track, cancelled_by_us=False).inside == ()


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["run-0-head.srun.log", "run-0-head.load.log"])
def test_what_stands_beside_a_run_that_began_is_no_machines_word(tmp_path: Path, name: str) -> None:
    """The recorder says that the server's container began, where that cannot take it away: then its image may be known."""
    track, _ = tracked(tmp_path, [])
    order = replace(track.attempt.order, known_images=frozenset(submission.images(track.attempt)))
    track.attempt = replace(track.attempt, order=order)
    (track.attempt.results / "run-0-head").mkdir()
    (track.attempt.results / name).write_text("srun: error: Zero Bytes were transmitted or received\n")
    track.asked, track.ended, track.runs_ended = 1, 1, 0
    assert classify(evidence.facts(track, cancelled_by_us=False)).node
    (track.attempt.results / "run-0-head/started").touch()
    assert not classify(evidence.facts(track, cancelled_by_us=False)).node


def test_what_a_servers_container_said_is_shown_where_its_run_says_nothing(tmp_path: Path) -> None:
    """The run's own words come first: they name what went wrong."""
    track, _ = tracked(tmp_path, [])
    run = track.attempt.results / "run-0-head"
    run.mkdir()
    (run / "started").touch()
    run.with_name("run-0-head.server.log").write_text("the server's\n")
    track.asked = 2
    found = evidence.facts(track, cancelled_by_us=False)
    assert (found.started, found.some_started, found.inside) == (False, True, ("the server's",))
    (run / "stderr.log").write_text("the run's\n")
    assert evidence.facts(track, cancelled_by_us=False).inside == ("the run's",)


def test_a_job_that_slurm_and_its_results_say_nothing_of_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; before that an empty answer is no end, and what is ended then is ended by its name."""
    ended: list[str] = []
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what["names"]))
    monkeypatch.setattr(tracking, "accounted", lambda _: None)
    track, _ = tracked(tmp_path, [])
    track.slurm = 7
    track.news_s -= tracking.LOST_S - 60
    assert track.says([])
    assert not track.finished()
    track.news_s -= 120
    assert track.says([])
    assert ended == [track.attempt.name]
    assert track.finished()
    assert (
        classify(evidence.facts(track, cancelled_by_us=False)).cause
        == "the job ended, for no known reason; see the job's log"
    )


def test_a_job_is_finished_once_slurm_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its last word and its end Slurm may begin it again, as after a requeue: what that leaves would be nobody's. Without a word for a while it is finished."""
    track, file = tracked(tmp_path, [])

    def slurm_says(state: str, restarts: int = 0) -> None:
        found = JobState(
            id=7,
            name=track.attempt.name,
            state=state,
            reason="",
            exit_code="0:0",
            node="mi0",
            restarts=restarts,
        )
        track.says([found])

    def all_said(restarts: int = 0) -> None:
        begin = {"kind": "begin", "name": "mi0", "facts": {"slurm": 7, "restarts": restarts}}
        last = {"kind": "end", "name": "job", "facts": {"exit": 0}}
        file.write_text("".join(json.dumps({**one, "token": TOKEN}) + "\n" for one in (begin, last)))
        track.read()

    slurm_says("RUNNING")
    all_said()
    assert not track.finished()
    slurm_says("PENDING", restarts=1)
    assert track.ended is None
    assert not track.finished()
    slurm_says("RUNNING", restarts=1)
    all_said(restarts=1)
    assert not track.finished()
    monkeypatch.setattr(tracking, "SETTLE_S", 0.0)
    assert track.finished()
    monkeypatch.undo()
    slurm_says("COMPLETED", restarts=1)
    assert track.finished()


def slurm_has(track: tracking.Tracking, state: str, number: int = 7, restarts: int = 0) -> JobState:
    return JobState(
        id=number,
        name=track.attempt.name,
        state=state,
        reason="",
        exit_code="0:0",
        node="mi0" if state != "PENDING" else "",
        restarts=restarts,
    )


def write(file: Path, *told: dict[str, Any]) -> None:
    file.write_text("".join(json.dumps({**one, "token": TOKEN}) + "\n" for one in told))


def begin(number: int, restarts: int = 0) -> dict[str, Any]:
    return {"kind": "begin", "name": "mi0", "facts": {"slurm": number, "restarts": restarts}}


def test_who_takes_up_a_job_that_slurm_began_again_hears_the_new_start_alone(tmp_path: Path) -> None:
    """The launcher before saw the first start, which stands in the file until the second one begins."""
    track, file = tracked(tmp_path, [])
    started = [{"kind": "srun", "name": name} for name in ("canary", "run-0-head")]
    write(file, begin(7), *started, *[{"kind": "note", "text": "long " * 100}] * 9)
    track.slurm, track.node = 7, "mi0"
    track.read()
    track.says([slurm_has(track, "PENDING", restarts=1)])
    write(file, begin(7, 1), started[0], {"kind": "end", "name": "job", "facts": {"exit": 0}})
    track.read()
    track.says([slurm_has(track, "COMPLETED", restarts=1)])
    assert (track.asked, track.ended, track.finished()) == (1, 0, True)


def test_what_a_shared_job_said_is_heard_once(tmp_path: Path) -> None:
    """Also where a small job looked at its node meanwhile, because there was no last word: that may come late."""
    heard: list[Event] = []
    track, file = tracked(tmp_path, heard)
    said = [
        begin(7),
        {"kind": "srun", "name": "canary"},
        {"kind": "point", "name": "r/a", "text": "measured"},
    ]
    write(file, *said)
    track.says([slurm_has(track, "RUNNING")])
    track.read()
    track.source = receive.Staged(track.attempt.results, mock.Mock(), over=True, missing=True)
    track.fetching = True
    write(file, *said, {"kind": "end", "name": "job", "facts": {"exit": 0}})
    assert not track.fetches()
    assert (sum(event["kind"] == "point" for event in heard), track.asked, track.ended) == (1, 1, 0)


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "COMPLETING"])
def test_of_two_jobs_of_one_name_the_one_that_runs_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Sbatch was asked again: 8 is noted, and waits for 7, which was accepted late."""
    ended: list[int] = []
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what["jobs"]))
    track, file = tracked(tmp_path, [])
    track.slurm, track.two = 8, lambda: True
    track.says([slurm_has(track, state, 7), slurm_has(track, "PENDING", 8)])
    write(file, begin(7))
    track.read()
    track.says([slurm_has(track, state, 7), slurm_has(track, "CANCELLED", 8)])
    assert (ended, track.slurm) == ([8], 7)


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_a_job_of_an_earlier_run_into_the_same_folder_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """The folder was removed while that job still ran, and ours waits for it: nothing that it says is of this run."""
    ended: list[int] = []
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what["jobs"]))
    track, _ = tracked(tmp_path, [])
    track.slurm = 8
    track.says([slurm_has(track, state, 7), slurm_has(track, "PENDING", 8)])
    assert (ended, track.slurm) == ([7], 8)


def test_a_shared_job_that_slurm_had_started_again_is_heard_once(tmp_path: Path) -> None:
    """Another launcher takes it up, and reads what it wrote before Slurm is asked."""
    heard: list[Event] = []
    track, file = tracked(tmp_path, heard)
    track.slurm = 7
    write(file, begin(7, restarts=1))
    track.read()
    track.says([slurm_has(track, "RUNNING", 7).model_copy(update={"restarts": 1})])
    track.read()
    assert [event["text"] for event in heard] == ["runs on mi0 as Slurm job 7"]
    track.says([slurm_has(track, "RUNNING", 7).model_copy(update={"restarts": 2})])
    assert "Slurm started the job again (2)" in heard[-1]["text"]


def test_a_note_of_the_preflight_reaches_a_person_and_blames_nobody(tmp_path: Path) -> None:
    """Such as a tool's warning; only a check that failed is a failure."""
    heard: list[Event] = []
    track, file = tracked(tmp_path, heard)
    track.node = "mi0"
    said = {"kind": "check", "name": "NUMA balancing", "text": "on; turn it off", "token": TOKEN}
    for facts in ({"passed": True, "level": "note"}, {"passed": True, "level": "ok"}):
        with file.open("a") as more:
            more.write(json.dumps({**said, "facts": facts}) + "\n")
    track.read()
    assert [event["text"] for event in heard] == ["mi0: NUMA balancing: on; turn it off"]
    assert track.failed_checks == []


@pytest.mark.parametrize("path", ["with blank", "a,b", "a:b", "a%b", "a\nb", "ä"])
def test_paths_that_slurm_cannot_be_given_are_refused(tmp_path: Path, path: str) -> None:
    """Before anything is submitted, with the letter."""
    with pytest.raises(HarnessError, match=r"--out.* has .* in it") as error:
        submission.check_paths(an_attempt(tmp_path / path))
    assert error.value.exit_code is Exit.USAGE
    submission.check_paths(an_attempt(tmp_path / "plain-1.2_x"))
