"""Launchers on a real Slurm whose terminal, pipe or disk for stdout is gone: no job is left, and none is lost."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])


@STORAGES
def test_a_terminal_that_closes_cancels_the_job(site: Site, storage: str) -> None:
    """As an ssh session that drops: scancel comes before any word of it, and what there is comes home."""
    ours, theirs = pty.openpty()
    launcher = subprocess.Popen(
        [*site.command(*site._run(storage)), "--runs", "9"],
        env=site.env | {"TERM": "xterm"},
        cwd="/",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the session's terminal; no threads here
    )
    os.close(theirs)
    site.wait_for_record(storage)
    os.close(ours)
    assert launcher.wait(90) == Exit.CANCELLED
    site.wait(lambda: not site.jobs())
    assert set(site.every_job().values()) == {"CANCELLED"}
    assert site.statuses(storage)[0] == "measured"
    assert site.left_on_nodes() == []


@STORAGES
def test_a_pipe_whose_reader_leaves_changes_nothing(site: Site, storage: str) -> None:
    """As `run | head -2`: every record comes home, and the code is not 0."""
    launcher = subprocess.Popen(
        site.command(*site._run(storage)),
        env=site.env,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert launcher.stdout
    launcher.stdout.readline()
    launcher.stdout.close()
    _, told = launcher.communicate(timeout=90)
    assert launcher.returncode == Exit.NOT_SHOWN, told
    assert b"Broken pipe" in told
    assert site.statuses(storage) == ["measured"] * 2
    assert set(site.every_job().values()) == {"COMPLETED"}
    site.wait(lambda: not site.jobs())


@STORAGES
def test_a_full_disk_under_stdout_changes_nothing(site: Site, storage: str) -> None:
    """Nor does a stdout that is closed; both are said on stderr."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            site.command(*site._run(storage)),
            env=site.env,
            cwd="/",
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=90,
        )
    assert done.returncode == Exit.NOT_SHOWN, done.stderr
    assert b"No space left on device" in done.stderr
    assert site.statuses(storage) == ["measured"] * 2
    line = subprocess.list2cmdline(site.command("collect", str(site.out(storage))))
    shown = subprocess.run(
        ["sh", "-c", f"{line} >&-"], env=site.env, cwd="/", capture_output=True, check=False, timeout=60
    )
    assert shown.returncode == Exit.NOT_SHOWN
    assert b"Bad file descriptor" in shown.stderr
