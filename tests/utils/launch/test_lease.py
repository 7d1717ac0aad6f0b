"""A results folder has one launcher; a plan that was begun goes on as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.utils.launch.slurm.made import an_attempt
from utils.launch import lease
from utils.launch.interface import Order
from utils.launch.journal import Memory, Notebook


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
