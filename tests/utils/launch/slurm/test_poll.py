"""One query for everybody, no more often than allowed; what squeue and sacct print, as values."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from utils.launch.quarantine import Quarantine
from utils.launch.slurm import names, states
from utils.launch.slurm import poll as poll_module
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.poll import Poll


def row(number: int, state: str = "RUNNING", name: str = "servematrix/r/0/h/run/job/0", **more: str) -> str:
    """A line of squeue, cut to its columns."""
    cells = {
        "JobID": str(number),
        "State": state,
        "exit_code": "0",
        "RestartCnt": "0",
        "NodeList": "mi0",
        "Reason": "None",
    }
    cells |= {"Name": name} | more
    return "".join(cells[column][:width].ljust(width) for column, width in states.COLUMNS)


def test_rows_of_squeue() -> None:
    """Every column, a restart, a wait status as code and signal, a job without a node."""
    text = "\n".join(
        [
            row(1, "FAILED", exit_code="768", RestartCnt="2", Reason="NonZeroExitCode"),
            row(2, "PENDING", NodeList="", Reason="Priority"),
            row(3, "CANCELLED", exit_code="9"),
            "slurm_load_jobs error: nonsense",
        ]
    )
    one, two, three = states.from_squeue(text)
    assert (one.id, one.exit_code, one.restarts, one.node, one.over) == (1, "3:0", 2, "mi0", True)
    assert (two.waiting, two.node, two.reason, two.over) == (True, "", "Priority", False)
    assert three.exit_code == "0:9"


def test_rows_of_sacct() -> None:
    """`CANCELLED by 0` is CANCELLED; the newest line of a job is the last."""
    text = "7|PENDING|0:0||n\n7|CANCELLED by 1000|0:15|mi1|a/b|c\n7.batch|FAILED|1:0|mi1|batch\n"
    _, found = states.from_sacct(text)
    assert (found.state, found.exit_code, found.node, found.name) == ("CANCELLED", "0:15", "mi1", "a/b|c")
    assert found.by == "1000"


@pytest.mark.parametrize(
    "state", ["COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL"]
)
def test_ends(state: str) -> None:
    """Whatever neither waits nor runs is over."""
    (found,) = states.from_squeue(row(1, state))
    assert found.over
    assert not found.waiting


def _many(folder: Path, asked: Path, seconds: float) -> None:
    def query() -> str:
        with asked.open("a") as file:
            file.write("x")
        return "\n".join(row(number) for number in range(1, 201))

    poll = Poll(folder, 0.5, query)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        poll.refresh()
        time.sleep(0.01)
    assert len(poll.jobs) == 200


def test_eight_launchers_of_200_jobs_ask_once_a_poll(tmp_path: Path) -> None:
    """However many launchers and jobs there are."""
    asked = tmp_path / "asked"
    asked.touch()
    start = time.time()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_many, args=(tmp_path / "s", asked, 4.0)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    queries = len(asked.read_text())
    assert 2 <= queries <= (time.time() - start) / 0.5 + 1


def test_a_controller_that_does_not_answer_keeps_the_last_answer(tmp_path: Path) -> None:
    """And is not asked more often for that."""
    answers: list[str | None] = [row(1), None, None]
    asked: list[int] = []

    def query() -> str:
        asked.append(1)
        answer = answers.pop(0)
        if answer is None:
            raise SlurmError("squeue", "Unable to contact slurm controller", unanswered=True)
        return answer

    poll = Poll(tmp_path, 0.05, query)
    assert poll.refresh()
    assert not poll.refresh()
    time.sleep(0.06)
    assert poll.refresh()
    assert (len(poll.jobs), poll.failure) == (1, "squeue: Unable to contact slurm controller")
    poll.refresh()
    assert len(asked) == 2


def test_a_damaged_cache_is_asked_anew(tmp_path: Path) -> None:
    """It is only a cache."""
    (tmp_path / "poll.json").write_text("{")
    poll = Poll(tmp_path, 60, lambda: row(5))
    poll.refresh()
    assert [job.id for job in poll.jobs] == [5]


def test_other_peoples_jobs_are_not_kept(tmp_path: Path) -> None:
    """Neither in memory nor in the shared file: 50,000 of them would be 6 MB at each poll."""
    poll = Poll(tmp_path, 60, lambda: "\n".join([row(1), row(2, name="somebody-elses")]))
    poll.refresh()
    assert [job.id for job in poll.jobs] == [1]
    assert "somebody" not in (tmp_path / "poll.json").read_text()


def test_a_clock_that_is_set_orders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour back in the middle: the next answer is asked for when it is due, and is newer than the one before."""
    poll = Poll(tmp_path, 0.05, lambda: row(1))
    poll.refresh()
    before = poll.answered_s
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    time.sleep(0.06)
    assert poll.refresh()
    assert poll.answered_s > before
    other = Poll(tmp_path, 60, lambda: row(1))
    other.refresh()
    assert other.answered_s == poll.answered_s, "launchers of one machine share one answer"


def test_an_answer_of_another_machine_is_not_compared(tmp_path: Path) -> None:
    """Its clock is not ours, although the folder is shared."""
    poll = Poll(tmp_path, 60, lambda: row(1))
    poll.refresh()
    path = tmp_path / "poll.json"
    path.write_text(path.read_text().replace(poll_module._boot(), "another"))
    other = Poll(tmp_path, 60, lambda: row(2))
    other.refresh()
    assert [job.id for job in other.jobs] == [2]


def test_names_tell_whose_job_it_is_and_are_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from Actions is cut to letters that mean nothing to Slurm or a shell."""
    monkeypatch.setenv("GITHUB_REPOSITORY", "org/re po,$(x)")
    monkeypatch.setenv("GITHUB_REF", "refs/pull/42/merge")
    monkeypatch.setenv("GITHUB_RUN_ID", "99")
    one = names.identity(tmp_path, "0123456789abcdef", tmp_path / "out")
    assert one.job("r.tp8.abc", 1) == f"servematrix/org-re-po---x-/42/0123456789ab/{one.run}/r.tp8.abc/1"
    monkeypatch.setenv("GITHUB_RUN_ID", "100")
    assert names.identity(tmp_path, "0123456789abcdef", tmp_path / "out").run != one.run
    assert names.checkout_of(one.job("r.tp8.abc", 1)) == names.checkout(tmp_path)
    copy = tmp_path / "elsewhere" / tmp_path.name
    copy.mkdir(parents=True)
    assert names.checkout(copy) != names.checkout(tmp_path), "a clone has the same name"
    assert len(names.folder("x" * 300)) == 12


def test_quarantine_expires_is_cleared_and_survives_two_writers(tmp_path: Path) -> None:
    """Entries carry their evidence."""
    quarantine = Quarantine(tmp_path)
    assert quarantine.entries() == []
    quarantine.blame("mi0", "a disk is full", ["No space left on device"], "job")
    quarantine.blame("mi1", "the node failed", ["NODE_FAIL"], "job")
    assert [entry.node for entry in quarantine.entries()] == ["mi0", "mi1"]
    assert quarantine.entries(now=time.time() + 25 * 3600) == []
    assert quarantine.clear(["mi0", "mi7"]) == ["mi0"]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(quarantine.entries()) == 1 + 4 * 20
    assert quarantine.clear(None)
    assert quarantine.entries() == []


def _add(folder: Path, number: int) -> None:
    for count in range(20):
        Quarantine(folder).blame(f"n{number}-{count}", f"c{number}-{count}", [], "job")


def test_a_damaged_quarantine_file_says_what_to_do(tmp_path: Path) -> None:
    """It is data that a person may repair or remove."""
    (tmp_path / "quarantine.json").write_text('{"nodes": [{"node": 1}]}')
    with pytest.raises(Exception, match="remove it to forget its nodes"):
        Quarantine(tmp_path).entries()


@pytest.mark.parametrize("state", ["EXPEDITING", "POWER_UP_NODE", "", "A_WORD_OF_TOMORROW"])
def test_only_a_known_end_is_an_end(state: str) -> None:
    """What this code has no word for is waited for; the launcher must not clear away under a job that runs."""
    (job,) = states.from_squeue(row(12, state))
    assert not job.over
    assert job.unknown is (state in {"", "A_WORD_OF_TOMORROW"})


def test_every_state_has_one_place() -> None:
    """Waiting, at work, or ended; and failures speak of ends alone."""
    from utils.launch import signs_of_failures

    sets = (states.WAITING, states.ACTIVE, states.ENDED)
    assert sum(map(len, sets)) == len(frozenset().union(*sets))
    assert signs_of_failures.STATES.keys() <= states.ENDED
