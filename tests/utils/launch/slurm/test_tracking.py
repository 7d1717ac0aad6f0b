"""What a job says is heard only in its own voice; a job's failures are blamed on nodes only where they are theirs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import ROOT
from tests.utils.launch.slurm.test_batch import PROVENANCE, some_attempts
from utils.launch import lease
from utils.launch.failures import Facts, Kind, classify
from utils.launch.interface import Order
from utils.launch.journal import Memory, Notebook
from utils.launch.slurm import attempts, batch, client, names, tracking
from utils.launch.slurm.client import Node
from utils.launch.slurm.poll import Poll
from utils.launch.slurm.quarantine import Quarantine
from utils.launch.slurm.states import JobState
from utils.launch.slurm.tracking import Tracking
from utils.node.events import Event

TOKEN = "00112233445566ff"  # noqa: S105 - of the golden scripts


def an_attempt(out: Path, **changes: Any) -> batch.Attempt:
    """One with shared storage, so that its events are read from a file."""
    attempt = next(one for name, one in some_attempts().items() if "tiny" in name)
    return replace(attempt, order=replace(attempt.order, out=out), **changes)


def tracked(tmp_path: Path, heard: list[Event]) -> tuple[Tracking, Path]:
    attempt = an_attempt(tmp_path)
    attempt.results.mkdir(parents=True)
    track = Tracking(attempt, heard.append, lambda *_: None, lambda _: None, 1.0)
    return track, attempt.results / "events.jsonl"


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
    assert sum("is not heard" in event["text"] for event in heard) == 4
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
    verdict = classify(track.facts(cancelled_by_us=False))
    assert verdict.kind is Kind.BENCHMARK
    assert "Segmentation fault" in verdict.evidence
    (folder / "stderr.log").unlink()
    (folder / "stderr.log").symlink_to("/etc/passwd")
    assert track.facts(cancelled_by_us=False).inside == ()


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
        classify(track.facts(cancelled_by_us=False)).cause
        == "the job ended, for no known reason; see the job's log"
    )


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
    verdict = classify(track.facts(cancelled_by_us=False))
    assert (verdict.kind, verdict.exit_code, verdict.final) == (Kind.INFRA, Exit.INFRA_FAILED, True)
    assert verdict.cause.startswith("Slurm's state NEW_WORD, which servematrix does not know, did not end")
    assert "limits.stuck_s" in verdict.cause
    assert sum("does not know: NEW_WORD" in event["text"] for event in heard) >= 1


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
    assert f"{shut}; ended after 100 s of it (limits.stuck_s)" in heard[-1]["text"]
    clock.now += 101
    track.says([a_job("PENDING", "Resources")])
    assert ended == [7]
    assert classify(track.facts(cancelled_by_us=False)).cause.startswith(shut)


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


def test_a_payload_that_came_too_late_is_no_nodes_fault() -> None:
    """But worth another try."""
    line = "servematrix: the payload did not come within 300 s"
    verdict = classify(Facts(state="", ended=int(Exit.INFRA_FAILED), lines=(line,)))
    assert (verdict.kind, verdict.node, verdict.evidence) == (Kind.INFRA, False, (line,))


def test_a_full_disk_that_nodes_share_is_no_nodes_fault() -> None:
    """Found by the check before, or by the node program; on a disk of its own it is."""
    for shared in (True, False):
        facts = Facts(state="", ended=int(Exit.STORAGE_FULL), asked=True, started=True, shared=shared)
        assert classify(facts).node is not shared
        checked = Facts(state="", preflight=("0.01 GB free",), node_at_fault=not shared)
        assert (classify(checked).kind, classify(checked).node) == (Kind.INFRA, not shared)


@pytest.fixture
def a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> attempts.Block:
    """A block whose jobs are accepted and never run."""
    monkeypatch.setattr(client, "submit", lambda _: 7)
    monkeypatch.setattr(client, "nodes", lambda _: [Node(f"mi{number}", "idle", "") for number in range(4)])
    return attempts.Block(
        attempt=an_attempt(tmp_path / "out"),
        identity=names.identity(ROOT, "a" * 40, tmp_path / "out"),
        root=ROOT,
        provenance=PROVENANCE,
        poll=Poll(tmp_path / "state", 1.0),
        quarantine=Quarantine(tmp_path / "state"),
        emit=lambda _: None,
    )


def fail(a_block: attempts.Block, node: str, facts: Facts) -> None:
    """An attempt that ended on a node."""
    a_block.memory = a_block.memory.model_copy(update={"node": node})
    a_block._infra(classify(facts))


def excluded(a_block: attempts.Block) -> list[str]:
    return list(a_block.attempt.exclude)


def kept_out(a_block: attempts.Block) -> list[str]:
    return [entry.node for entry in a_block.quarantine.entries()]


def test_two_nodes_that_fail_for_one_cause_are_both_cleared(a_block: attempts.Block) -> None:
    """It is then what the cluster file says; a lost node stays lost, whatever others do."""
    a_block.begin()
    check = Facts(state="", preflight=("/dev/kfd is missing",))
    fail(a_block, "mi0", check)
    assert kept_out(a_block) == ["mi0"]
    assert excluded(a_block) == ["mi0"]
    fail(a_block, "mi1", check)
    assert kept_out(a_block) == []
    assert excluded(a_block) == ["mi0", "mi1"]
    fail(a_block, "mi2", check)
    assert a_block.memory.done
    assert a_block.memory.exit == Exit.INFRA_FAILED


def test_lost_nodes_are_each_in_quarantine(a_block: attempts.Block) -> None:
    """NODE_FAIL is evidence by itself."""
    a_block.begin()
    for node in ("mi0", "mi1"):
        fail(a_block, node, Facts(state="NODE_FAIL"))
    assert kept_out(a_block) == ["mi0", "mi1"]


def test_two_bad_nodes_of_many_are_two_bad_nodes(
    a_block: attempts.Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes without user namespaces come and go; but a job that finds one cause on each of its three tries has found no node's."""
    monkeypatch.setattr(client, "nodes", lambda _: [Node(f"mi{number}", "idle", "") for number in range(20)])
    a_block.begin()
    check = Facts(state="", preflight=("a user namespace cannot be made",))
    fail(a_block, "mi0", check)
    fail(a_block, "mi1", check)
    assert kept_out(a_block) == ["mi0", "mi1"]
    fail(a_block, "mi2", check)
    assert kept_out(a_block) == []


def test_nodes_clear_each_other_across_jobs_and_launchers(a_block: attempts.Block) -> None:
    """Five jobs with one wrong line in the cluster file must not close a cluster for a day; other causes stay."""
    a_block.quarantine.blame("mi3", "Slurm lost the node", [], "job")
    for node in ("mi0", "mi1", "mi2", "mi3"):
        a_block._blame(classify(Facts(state="", preflight=("/models is missing",))), node)
    assert kept_out(a_block) == ["mi3"]
    assert a_block.quarantine.clear(["mi3"]) == ["mi3"]


def test_the_next_try_is_elsewhere_also_without_a_quarantine(a_block: attempts.Block) -> None:
    """Except after a preemption, and where no other node is left; names that Slurm does not know are left out."""
    a_block.quarantine.blame("gone", "cause", [], "job")
    a_block.begin()
    assert excluded(a_block) == []
    fail(a_block, "mi0", Facts(state="PREEMPTED"))
    assert excluded(a_block) == []
    fail(a_block, "mi1", Facts(state="", ended=int(Exit.INFRA_FAILED)))
    assert kept_out(a_block) == ["gone"]
    assert excluded(a_block) == ["mi1"]
    assert a_block._excluded(Memory(tried=["mi0", "mi1", "mi2", "mi3"])) == ()


def test_a_job_that_slurm_took_late_is_cancelled_all_the_same(
    a_block: attempts.Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An sbatch without an answer, then a signal: the end is not believed before Slurm can no longer take the job."""
    ended: list[int] = []
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what.get("jobs", [])))

    def lost(_: str) -> int:
        raise client.SlurmError("sbatch", "no answer", unanswered=True)

    monkeypatch.setattr(client, "submit", lost)
    a_block.begin()
    a_block.cancel()
    track = a_block.track
    assert track

    def poll(*states: JobState) -> None:
        a_block.poll.jobs, a_block.poll.answered_s = list(states), time.monotonic()
        track.news_s -= 60
        a_block.step()

    poll()
    assert not a_block.done
    running = JobState(
        id=9, name=a_block.name, state="RUNNING", reason="", exit_code="", node="mi0", restarts=0
    )
    poll(running)
    poll(running)
    assert ended == [9, 9]
    a_block.submitted_s -= 2 * attempts.UNANSWERED_S
    track.slurm = None
    poll()
    assert a_block.memory.kind == "cancelled"


def test_a_good_end_without_all_records_is_no_good_end(a_block: attempts.Block) -> None:
    """What the batch script says is held against what is here."""
    a_block.begin()
    track = a_block.track
    assert track
    track.ended = 0
    (a_block.attempt.results / "run-0-head" / "p").mkdir(parents=True)
    (a_block.attempt.results / "run-0-head" / "p" / "record.json").touch()
    a_block._end(track)
    wanted = len(a_block.attempt.job.points) * 2
    assert a_block.memory.exit == Exit.JOB_FAILED
    failure = json.loads((a_block.attempt.results / "failure.json").read_bytes())
    assert failure["cause"] == f"the job ended well, and {wanted - 1} of {wanted} records are not here"


@pytest.mark.parametrize("path", ["with blank", "a,b", "a:b", "a%b", "a\nb", "ä"])
def test_paths_that_slurm_cannot_be_given_are_refused(tmp_path: Path, path: str) -> None:
    """Before anything is submitted, with the letter."""
    with pytest.raises(HarnessError, match=r"--out.* has .* in it") as error:
        batch.check_paths(an_attempt(tmp_path / path))
    assert error.value.exit_code is Exit.USAGE
    batch.check_paths(an_attempt(tmp_path / "plain-1.2_x"))


def order_in(out: Path, walltime_s: int) -> Order:
    attempt = an_attempt(out)
    job = attempt.job.model_copy(update={"walltime_s": walltime_s})
    return replace(attempt.order, plan=attempt.order.plan.model_copy(update={"jobs": [job]}))


def test_a_plan_that_was_begun_goes_on_as_it_was(tmp_path: Path) -> None:
    """Another estimate made since changes neither what is the same nor the jobs, by whose names Slurm knows them."""
    out = tmp_path / "results" / "one"
    first = lease.take(order_in(out, 600))
    assert lease.unfinished(order_in(tmp_path, 900), tmp_path / "results") is None, (
        "a launcher is at work on it"
    )
    with pytest.raises(HarnessError, match="another launcher is running on"):
        lease.take(order_in(out, 600))
    first.release()
    assert lease.unfinished(order_in(tmp_path, 900), tmp_path / "results") == out
    second = lease.take(order_in(out, 900))
    assert second.order.plan.jobs[0].walltime_s == 600
    Notebook(out, second.order.plan.jobs[0].id).write(Memory(done=True))
    second.release()
    assert lease.unfinished(order_in(tmp_path, 900), tmp_path / "results") is None
    plan = order_in(out, 600).plan
    another = plan.model_copy(
        update={"jobs": [job.model_copy(update={"arms": ["head"] * 3}) for job in plan.jobs]}
    )
    with pytest.raises(HarnessError, match="other points"):
        lease.take(replace(order_in(out, 600), plan=another))


def test_a_folder_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    """And not as a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="give another --out") as error:
        lease.take(order_in(tmp_path / "file" / "out", 600))
    assert error.value.exit_code is Exit.USAGE


def test_results_of_an_older_attempt_are_put_aside(tmp_path: Path) -> None:
    """`collect --job` of a job after which there was another."""
    notes = Notebook(tmp_path, "job")
    assert notes.place(3) == (tmp_path / "jobs/job", 0)
    notes.write(Memory(attempt=2))
    assert notes.place(2) == (tmp_path / "jobs/job", 0)
    assert notes.place(1) == (tmp_path / "broken/job.1", 2)
