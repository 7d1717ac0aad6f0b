"""A job's attempts: which node is blamed, where the next try runs, and when a job is over."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from matrix.errors import Exit, HarnessError
from utils.launch.failures import Facts, classify
from utils.launch.journal import Memory
from utils.launch.slurm import attempts, client, sight
from utils.launch.slurm.client import Node
from utils.launch.slurm.states import JobState

if TYPE_CHECKING:
    from pathlib import Path


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
        a_block.memory = Memory(node=node)
        fail(a_block, node, Facts(state="", preflight=("/models is missing",)))
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


def test_cancel_between_two_tries_is_heard(a_block: attempts.Block) -> None:
    """The job is over, and its launcher still brings what it left; there is no job that `cancel` could end."""
    a_block.begin()
    a_block.memory = a_block.memory.model_copy(update={"node": "mi0", "slurm": 7})
    a_block.notes.write(a_block.memory)
    a_block.notes.call_off()
    a_block.judge(classify(Facts(state="NODE_FAIL")))
    assert (a_block.done, a_block.memory.attempt, a_block.memory.kind) == (True, 0, "cancelled")
    failure = json.loads((a_block.attempt.results / "failure.json").read_bytes())
    assert failure["evidence"] == [classify(Facts(state="NODE_FAIL")).cause]
    assert kept_out(a_block) == []


def test_cancel_after_the_end_hides_no_reason(a_block: attempts.Block) -> None:
    """No other try would come, and the job had ended by itself."""
    a_block.begin()
    a_block.notes.call_off()
    a_block.judge(classify(Facts("FAILED", begun=True, asked=True, started=True, ended=30)))
    assert (a_block.done, a_block.memory.exit) == (True, Exit.SERVER_EXITED)


@pytest.mark.parametrize(
    ("tries", "facts"),
    [
        (2, Facts(state="NODE_FAIL")),
        (0, Facts(state="COMPLETING", gave_up="the job does not end")),
    ],
    ids=["third try", "given up"],
)
def test_cancel_hides_no_failure_after_which_no_try_comes(
    a_block: attempts.Block, tries: int, facts: Facts
) -> None:
    """It came when the job was over: what ended that stays the reason."""
    a_block.begin()
    a_block.memory = a_block.memory.model_copy(update={"tries": tries, "node": "mi0"})
    a_block.notes.call_off()
    a_block.judge(classify(facts))
    assert (a_block.done, a_block.memory.kind, a_block.memory.exit) == (True, "infra", Exit.INFRA_FAILED)
    assert kept_out(a_block) == (["mi0"] if tries else [])


def test_cancel_is_of_one_attempt(a_block: attempts.Block) -> None:
    """One before this launcher came, a failure of the machine, and `cancel` again: that one ends it."""
    a_block.begin()
    a_block.notes.call_off()
    a_block.called_off = True
    a_block.judge(classify(Facts(state="NODE_FAIL")))
    assert (a_block.done, a_block.memory.attempt) == (False, 1)
    a_block.notes.call_off()
    a_block.judge(classify(Facts(state="CANCELLED")))
    assert (a_block.done, a_block.memory.attempt, a_block.memory.kind) == (True, 1, "cancelled")


@pytest.mark.parametrize("answers", [True, False])
def test_cancel_while_sbatch_is_on_its_way_is_heeded(
    a_block: attempts.Block, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    """`cancel` saw no job; the one that comes then is ended, whether sbatch told its number or not."""
    ended: list[int] = []
    monkeypatch.setattr(client, "cancel", lambda **what: ended.extend(what["jobs"]))

    def submit(_: Path) -> int:
        a_block.notes.call_off()
        if not answers:
            raise client.SlurmError("sbatch", "no answer", unanswered=True)
        return 7

    monkeypatch.setattr(client, "submit", submit)
    a_block.begin()
    running = JobState(
        id=7, name=a_block.name, state="RUNNING", reason="", exit_code="", node="mi0", restarts=0
    )
    a_block.poll.jobs, a_block.poll.answered_s = [running], time.monotonic()
    a_block.step()
    assert ended == [7]
    assert not a_block.memory.asked_again


def test_cancel_while_the_next_try_is_prepared_is_noted_of_that(
    a_block: attempts.Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm is asked for its nodes meanwhile, which can take long."""
    a_block.begin()
    a_block.memory = a_block.memory.model_copy(update={"node": "mi0", "slurm": 7})

    def nodes(_: str) -> list[Node]:
        a_block.notes.call_off()
        return [Node(f"mi{number}", "idle", "") for number in range(4)]

    monkeypatch.setattr(client, "nodes", nodes)
    a_block.judge(classify(Facts(state="NODE_FAIL")))
    assert (a_block.memory.attempt, a_block.notes.is_called_off(1)) == (1, True)


def test_a_second_submission_is_remembered(a_block: attempts.Block) -> None:
    """Whoever takes it up then knows that two jobs of its name are both its own."""
    a_block.begin()
    track = a_block.track
    assert track
    track.slurm, track.news_s = None, time.monotonic() - 60
    a_block.poll.jobs, a_block.poll.answered_s = [], time.monotonic()
    a_block.step()
    known = a_block.notes.read()
    assert known is not None
    assert known.asked_again


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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("sbatch: error: invalid partition specified: gone", "there is no partition gone"),
        ("sbatch: error: Batch job submission failed: Invalid node name specified", "mi9 are kept out"),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", ""),
    ],
)
def test_what_a_refusal_adds_is_decided_by_its_meaning(
    a_block: attempts.Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, shown: str
) -> None:
    """A real command that fails with words as sbatch has them; what was said is not read again afterwards."""
    refusing = tmp_path / "sbatch"
    refusing.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    refusing.chmod(0o755)
    monkeypatch.setattr(client, "submit", lambda _: client.call([str(refusing)]))
    there = [sight.PartitionSeen("compute", "up", "infinite", 4)]
    monkeypatch.setattr(sight, "ask_partitions", lambda: there)
    a_block.partition = sight.Partition("gone", "recipes/clusters/here.yaml")
    a_block.attempt = replace(a_block.attempt, exclude=("mi9",))
    monkeypatch.setattr(attempts.Block, "_excluded", lambda *_: ("mi9",))
    with pytest.raises(HarnessError) as raised:
        a_block.begin()
    added = raised.value.message.partition(said)[2]
    assert shown in added
    assert bool(shown) is bool(added)
