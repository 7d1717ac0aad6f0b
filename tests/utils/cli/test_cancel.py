"""Which jobs `cancel` ends, with FAKE squeue and scancel: those that are surely this checkout's, and no others unless a person says so."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, Cli, command, environment, shown_at
from tests.utils.launch.slurm.test_poll import row
from utils.launch.journal import Memory, Notebook
from utils.launch.slurm import names

MINE = f"servematrix/servematrix/0/{'a' * 12}/{names.checkout(ROOT)}-0123abcd/r.tp1/0"
TWIN = f"servematrix/servematrix/0/{'a' * 12}/{'0' * 8}-0123abcd/r.tp1/0"
OLD = f"servematrix/servematrix/0/{'a' * 12}/0123abcd/r.tp1/0"


class Queue:
    """What squeue shows, and what scancel was asked to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        jobs = [row(1, name=MINE), row(2, name=TWIN), row(3, name=OLD), row(4, name="somebody-elses")]
        jobs.append(row(5, "COMPLETED", name=MINE))
        (folder / "rows").write_text("\n".join(jobs) + "\n")
        for name, line in (("squeue", f"cat {folder}/rows"), ("scancel", f'echo "$@" >>{folder}/ended')):
            path = folder / name
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(0o755)
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}"}

    @property
    def ended(self) -> list[str]:
        """Numbers of jobs."""
        path = self.folder / "ended"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    (tmp_path / "queue").mkdir()
    return Queue(tmp_path / "queue")


def test_only_this_checkouts_jobs_are_ended(cli: Cli, queue: Queue) -> None:
    """A copy of the same name keeps its jobs; they are listed, with what to do."""
    done = cli("cancel", env=queue.env)
    assert done.returncode == 0, done.stderr
    assert queue.ended == ["1"]
    assert f"cancelled: 1 RUNNING {MINE}" in done.stdout
    assert f"one that was moved: 2 RUNNING {TWIN}" in done.stdout
    assert f"one that was moved: 3 RUNNING {OLD}" in done.stdout
    assert "somebody-elses" not in done.stdout
    assert "left alone" in done.stdout
    assert "./servematrix cancel DIR" in done.stdout


def test_jobs_are_listed_before_any_of_them_is_ended(cli: Cli, queue: Queue) -> None:
    """Also what scancel then refuses: a person knows what is still to be ended."""
    (queue.folder / "scancel").write_text("#!/bin/sh\necho 'scancel: error: Invalid user' >&2; exit 1\n")
    done = cli("cancel", env=queue.env)
    assert done.returncode == Exit.SLURM_FAILED
    assert f"to be ended: 1 RUNNING {MINE}" in done.stdout
    assert f"2 RUNNING {TWIN}" in done.stdout
    assert "cancelled: " not in done.stdout


def test_a_script_says_yes(cli: Cli, queue: Queue) -> None:
    """Of a checkout that was moved, where nobody sits at a terminal."""
    done = cli("cancel", "--yes", env=queue.env)
    assert done.returncode == 0, done.stderr
    assert queue.ended == ["1", "2", "3"]
    assert done.stdout.index(f"one that was moved: 3 RUNNING {OLD}") < done.stdout.index("cancelled: 1 ")
    assert cli("cancel", "--yes", "--list", env=queue.env).returncode == Exit.USAGE


@pytest.mark.parametrize("where", [">/dev/full", ">&-", "| true", ">&- 2>&- <&-"])
def test_jobs_are_ended_where_nobody_can_read_the_list(queue: Queue, where: str) -> None:
    """It is shown first, and what is shown stops nothing."""
    line = f"{shlex.join(command('cancel'))} {where}"
    subprocess.run(["sh", "-c", line], env=environment(queue.env), cwd=ROOT, check=False, timeout=60)
    assert queue.ended == ["1"]


def test_a_list_ends_nothing(cli: Cli, queue: Queue) -> None:
    """Both kinds are in it."""
    done = cli("cancel", "--list", env=queue.env)
    assert queue.ended == []
    assert f"would be ended: 1 RUNNING {MINE}" in done.stdout
    assert TWIN in done.stdout


@pytest.mark.parametrize(("said", "ended"), [("yes\n", ["1", "2", "3"]), ("\n", ["1"]), ("y\n", ["1"])])
def test_a_person_is_asked_about_the_others(queue: Queue, said: str, ended: list[str]) -> None:
    """At a terminal; anything but yes leaves them."""
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        command("cancel"), env=environment(queue.env), cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, said.encode())
    shown = shown_at(ours)
    os.close(ours)
    assert asked.wait(30) == 0
    assert b"too? Type yes:" in shown
    assert shown.index(MINE.encode()) < shown.index(TWIN.encode()) < shown.index(b"cancelled: 1 ")
    assert queue.ended == ended


def test_what_a_folder_names_is_ended_and_noted(cli: Cli, queue: Queue, tmp_path: Path) -> None:
    """Wherever its launcher ran; whoever runs the folder again then knows that it was ended by hand."""
    out = tmp_path / "out"
    Notebook(out, "r.tp1").write(Memory(name=TWIN, attempt=2, slurm=2))
    Notebook(out, "r.tp2").write(Memory(name="servematrix/of/an/ended/one", done=True))
    (out / "launch/plan.json").write_text("{}")
    (out / "launch/r.tp1.1.verdict.json").write_text('{"kind": null}')
    assert cli("cancel", str(out), "--list", env=queue.env).returncode == 0
    assert not Notebook(out, "r.tp1").is_called_off(2)
    done = cli("cancel", str(out), env=queue.env)
    assert done.returncode == 0, done.stderr
    assert queue.ended == ["2"]
    assert Notebook(out, "r.tp1").is_called_off(2)
    assert not Notebook(out, "r.tp2").is_called_off(0)
    assert cli("cancel", str(tmp_path), env=queue.env).returncode == Exit.USAGE


def test_results_that_cannot_be_written_keep_no_job_running(cli: Cli, queue: Queue, tmp_path: Path) -> None:
    """The note for the next run comes first, and is not what was asked for; here a link leads nowhere."""
    out = tmp_path / "out"
    book = Notebook(out, "r.tp1")
    book.write(Memory(name=TWIN, attempt=2, slurm=2))
    book.beside(2, "cancelled").symlink_to(tmp_path / "of/no/folder")
    done = cli("cancel", str(out), env=queue.env)
    assert queue.ended == ["2"]
    assert done.returncode == 0, done.stderr
    assert "launch cannot be written (No such file or directory)" in done.stderr


def test_a_folder_without_jobs_keeps_none_of_the_others_running(
    cli: Cli, queue: Queue, tmp_path: Path
) -> None:
    """As in `cancel results/20261123-*`, where one was a local run's, and the notes of another are damaged."""
    local, damaged, out = (tmp_path / name for name in ("a-local", "b-damaged", "c-slurm"))
    Notebook(local, "r.tp1").write(Memory())
    Notebook(damaged, "r.tp1").write(Memory(name=OLD, attempt=0, slurm=3))
    Notebook(damaged, "r.tp1").file.write_text('{"name": 7')
    Notebook(out, "r.tp1").write(Memory(name=TWIN, attempt=2, slurm=2))
    done = cli("cancel", str(local), str(damaged), str(out), env=queue.env)
    assert queue.ended == ["2"]
    assert done.returncode == Exit.USAGE
    assert "a-local: none of its jobs was given to Slurm" in done.stderr
    assert "b-damaged: what its launchers noted cannot be read" in done.stderr
    alone = cli("cancel", str(damaged), env=queue.env)
    assert alone.returncode == Exit.USAGE
    assert "what its launchers noted cannot be read" in alone.stderr


def test_broken_munge_says_what_to_look_at(cli: Cli, queue: Queue) -> None:
    """Slurm's own words name neither the clock nor munge."""
    (queue.folder / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Zero Bytes were transmitted or received' >&2; exit 1\n"
    )
    done = cli("cancel", env=queue.env)
    assert done.returncode == Exit.SLURM_FAILED
    assert "clocks" in done.stderr
    assert "munge -n | unmunge" in done.stderr
