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
from utils.launch.failures import Facts, Kind, classify
from utils.launch.interface import Order
from utils.launch.slurm import attempts, batch, client, lease, names, tracking
from utils.launch.slurm.client import Node
from utils.launch.slurm.journal import Memory, Notebook
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
        a_block.poll.jobs, a_block.poll.answered_s = list(states), time.time()
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
    with pytest.raises(HarnessError, match="another launcher is at work"):
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
