"""Local runs that are killed or interrupted: what ended them is said, nothing is left, and the same --out goes on. With the FAKE vLLM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import Cli, command, environment, run_git
from tests.utils.launch.slurm.test_batch import some_attempts
from tests.utils.node.test_faults import nothing_is_left, processes, records
from utils.node.files import below
from utils.pipeline.execute import with_own_folder


class Runs:
    """`run` of the small tree, with a TMPDIR of the test's own."""

    def __init__(self, tree: Path, fake: Path, folder: Path) -> None:
        self.tree, self.fake, self.out, self.temporary = tree, fake, folder / "out", folder / "t"
        self.temporary.mkdir()

    def arguments(self, *more: str) -> list[str]:
        """Of the command."""
        where = ["--tree", str(self.tree), "--environment", str(self.fake), "--out", str(self.out)]
        return ["run", "r", *where, *more]

    @property
    def env(self) -> dict[str, str]:
        """Of the launcher."""
        return environment({"TMPDIR": str(self.temporary)})

    def start(self, *more: str) -> subprocess.Popen[str]:
        """In the background, until the first point is measured."""
        running = subprocess.Popen(
            command(*self.arguments(*more)),
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        end = time.monotonic() + 30
        while not list(below(self.out / "jobs", "run-*/*/record.json")):
            assert time.monotonic() < end
            time.sleep(0.02)
        return running

    def node(self) -> int:
        """The program that measures."""
        (pid,) = (pid for pid, words in processes(self.out).items() if b"utils.node" in words)
        return pid

    def statuses(self) -> list[str]:
        """Of the records that count."""
        return [one.status for one in records(self.out / "jobs")]


@pytest.fixture
def runs(tree: Path, fake_environment: Path, tmp_path: Path) -> Runs:
    return Runs(tree, fake_environment, tmp_path)


def test_a_program_that_is_killed_has_its_own_code(runs: Runs, cli: Cli) -> None:
    """Every point has a record, the scratch folder is gone, and the same command measures all."""
    running = runs.start("--runs", "3")
    assert list(runs.temporary.glob("sm-*/owner.json")), "TMPDIR is followed"
    os.kill(runs.node(), signal.SIGKILL)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == Exit.NODE_KILLED, text
    assert "the program that measures was ended by SIGKILL" in text
    assert "Traceback" not in text
    failure = json.loads(next(runs.out.rglob("failure.json")).read_text())
    assert failure["exit"] == Exit.NODE_KILLED
    assert {one.point for one in records(runs.out)} == {"r/32x16-tp1-c1", "r/32x16-tp1-c2"}
    assert list(runs.temporary.iterdir()) == []
    assert nothing_is_left(runs.out)
    done = cli(*runs.arguments("--runs", "3"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs.statuses() == ["measured"] * 6
    assert list((runs.out / "broken").rglob("broken.json"))


@pytest.mark.parametrize("after_s", [0.06, 0.1, 0.15])
def test_a_signal_while_the_measuring_program_starts_is_no_traceback(runs: Runs, after_s: float) -> None:
    """It still imports its modules then; a person who presses Ctrl-C at once sees that the run was cancelled, and no lines of Python."""
    running = subprocess.Popen(
        command(*runs.arguments()), env=runs.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.monotonic() + 30
    while not any(b"utils.node" in words for words in processes(runs.out).values()):
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(after_s)
    running.send_signal(signal.SIGINT)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == Exit.CANCELLED, text
    assert "Traceback" not in text
    assert "KeyboardInterrupt" not in text
    assert set(runs.statuses()) == {"cancelled"}
    assert nothing_is_left(runs.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_cancelled_at_once_says_by_what(runs: Runs, number: signal.Signals) -> None:
    """No program measures yet that could: the job's failure and each record name the signal that came."""
    running = subprocess.Popen(
        command(*runs.arguments()), env=runs.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.monotonic() + 30
    while not list(below(runs.out / "jobs", "job.json")):
        assert time.monotonic() < end
        time.sleep(0.002)
    running.send_signal(number)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == Exit.CANCELLED, text
    why = f"by {number.name}"
    assert json.loads(next(below(runs.out, "failure.json")).read_text())["cause"].endswith(why)
    failures = [one.failure for one in records(runs.out)]
    assert failures
    assert all(one and one.message.endswith(why) for one in failures), failures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_cancelled_while_it_measures_says_by_what(runs: Runs, number: signal.Signals) -> None:
    """The program that measures gets the same signal, and names it in the records of what it left."""
    running = runs.start("--runs", "3")
    running.send_signal(number)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == Exit.CANCELLED, text
    failures = [one.failure for one in records(runs.out) if one.failure]
    assert failures
    assert all(number.name in one.message for one in failures), failures
    assert json.loads(next(below(runs.out, "failure.json")).read_text())["cause"].endswith(number.name)
    assert nothing_is_left(runs.out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on_with_the_same_folder(
    runs: Runs, cli: Cli, number: signal.Signals
) -> None:
    """The job that broke off is kept aside and run anew, as on Slurm; other points are refused there."""
    running = runs.start("--runs", "3")
    running.send_signal(number)
    running.communicate(timeout=60)
    end = time.monotonic() + 20
    while processes(runs.out) and time.monotonic() < end:
        time.sleep(0.1)
    other = cli(*runs.arguments("--runs", "2"))
    assert other.returncode == Exit.OUT_IN_USE
    assert "other points" in other.stderr
    done = cli(*runs.arguments("--runs", "3"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is run anew" in done.stdout
    assert runs.statuses() == ["measured"] * 6
    again = cli(*runs.arguments("--runs", "3"))
    assert again.returncode == 0
    assert "not run again" in again.stdout
    assert cli("cancel", str(runs.out)).returncode == Exit.USAGE


def test_two_runs_in_one_second_have_two_folders(tmp_path: Path) -> None:
    """Without --out; neither is refused."""

    class Checks:
        """A launcher that has nothing against an order."""

        def check(self, *_: object) -> None:
            """Nothing is missing."""

    launcher: Any = Checks()
    order = next(iter(some_attempts().values())).order
    order = replace(order, out=tmp_path / "results" / "20261126-120000-r")
    found = [with_own_folder(launcher, order).out.name for _ in range(3)]
    assert found == ["20261126-120000-r", "20261126-120000-r-2", "20261126-120000-r-3"]


def test_a_checkout_that_git_cannot_read_is_named_at_the_start(
    runs: Runs, cli: Cli, git_tree: Path, tmp_path: Path
) -> None:
    """Not when the figures are to be claimed; a commit makes it silent."""
    done = cli(*runs.arguments())
    assert "git cannot" not in done.stdout
    assert "records will not say which commit they are of" not in done.stdout
    run_git(git_tree, "update-ref", "-d", "HEAD")
    (git_tree / ".git/HEAD").write_text("ref: refs/heads/nowhere\n")
    runs.out = tmp_path / "second"
    done = cli(*runs.arguments())
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if "records will not say which commit" in line]
    assert len(lines) == 1
    assert "git rev-parse" in lines[0]


@pytest.mark.parametrize("named", ["gone", "file"])
def test_a_tmpdir_that_cannot_be_followed_is_said_before_anything_starts(
    runs: Runs, cli: Cli, named: str
) -> None:
    """Python would take /tmp for it without a word, and a full one is often why somebody names another."""
    (runs.temporary / "file").touch()
    done = cli(*runs.arguments(), env={"TMPDIR": str(runs.temporary / named)})
    assert done.returncode == Exit.SETUP_FAILED, done.stdout
    assert f"TMPDIR is {runs.temporary / named}, which is no folder" in done.stderr
    assert not (runs.out / "jobs").exists()
