"""What becomes of a command whose words nobody takes: it does what was asked for, and its code says so. With the FAKE vLLM."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, command, environment
from tests.utils.node.test_faults import nothing_is_left
from utils.cli import main, streams
from utils.node import record_file

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def start(tree: Path, fake_environment: Path, out: Path) -> Start:
    """`run` of two points with a stdout of the test's own."""

    def begin(*more: str, **where: Any) -> subprocess.Popen[bytes]:
        arguments = command("run", "r", "--tree", str(tree), "--environment", str(fake_environment))
        wanted = {"env": environment(), "stderr": subprocess.PIPE, **where}
        return subprocess.Popen([*arguments, "--out", str(out), *more], **wanted)

    return begin


def statuses(out: Path) -> list[str]:
    return sorted(record_file.read(path).status for path in out.rglob("record.json"))


def wait_for_record(out: Path) -> None:
    end = time.monotonic() + 30
    while not list(out.rglob("record.json")):
        assert time.monotonic() < end, "nothing is measured"
        time.sleep(0.02)


def test_a_reader_that_leaves_stops_nothing(start: Start, out: Path) -> None:
    """As `run | head -2`: everything is measured, and the code is not 0."""
    running = start(stdout=subprocess.PIPE)
    assert running.stdout
    running.stdout.readline()
    running.stdout.close()
    _, told = running.communicate(timeout=60)
    assert running.returncode == Exit.NOT_SHOWN, told
    assert b"stdout cannot be written (Broken pipe)" in told
    assert b"goes on" in told
    assert statuses(out) == ["measured"] * 2


def test_a_full_disk_under_stdout_stops_nothing(start: Start, out: Path) -> None:
    """And stderr says why there is no word."""
    with Path("/dev/full").open("wb") as full:
        running = start(stdout=full)
    _, told = running.communicate(timeout=60)
    assert running.returncode == Exit.NOT_SHOWN, told
    assert b"stdout cannot be written (No space left on device)" in told
    assert statuses(out) == ["measured"] * 2


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start(
    tree: Path, fake_environment: Path, out: Path, closed: str
) -> None:
    """No file that is opened later comes to be stdout."""
    arguments = ("run", "r", "--tree", str(tree), "--environment", str(fake_environment), "--out", str(out))
    line = subprocess.list2cmdline(command(*arguments))
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"], env=environment(), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == Exit.NOT_SHOWN, done.stderr
    assert statuses(out) == ["measured"] * 2
    if "2>" not in closed:
        assert b"stdout cannot be written (Bad file descriptor)" in done.stderr


def test_a_reader_that_does_not_read_delays_nothing(start: Start, out: Path) -> None:
    """Its pipe is full before the first word, as behind a pager; what was said comes when it reads again."""
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETFL, os.O_NONBLOCK)
    filled = 0
    while True:
        try:
            filled += os.write(theirs, b"." * 4096)
        except BlockingIOError:
            break
    fcntl.fcntl(theirs, fcntl.F_SETFL, 0)
    running = start(stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    end = time.monotonic() + 60
    while len(list(out.rglob("record.json"))) < 2:
        assert time.monotonic() < end, "it waits for its reader"
        time.sleep(0.05)
    shown = b""
    while chunk := os.read(ours, 65536):
        shown += chunk
    os.close(ours)
    assert running.wait(30) == Exit.OK
    assert b"records: " in shown[filled:]


def test_a_terminal_that_closes_ends_the_run_and_leaves_nothing(start: Start, out: Path) -> None:
    """A real one, with its hang-up: what was measured is kept, the rest says that it was cancelled."""

    def alone() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run behind nohup
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # it becomes the session's terminal

    ours, theirs = pty.openpty()
    running = start(
        "--runs",
        "9",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment({"TERM": "xterm"}),
        start_new_session=True,
        preexec_fn=alone,
    )
    os.close(theirs)
    wait_for_record(out)
    os.close(ours)
    assert running.wait(60) == Exit.CANCELLED
    assert set(statuses(out)) == {"measured", "cancelled"}
    assert nothing_is_left(out)


def test_a_terminal_that_closes_behind_nohup_does_not(start: Start, out: Path) -> None:
    """Whoever says so is measured to the end, although the terminal is gone."""

    def alone() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    running = start(start_new_session=True, preexec_fn=alone, **streams)
    os.close(theirs)
    wait_for_record(out)
    os.close(ours)
    assert running.wait(60) == Exit.NOT_SHOWN
    assert statuses(out) == ["measured"] * 2


def test_a_command_that_only_shows_may_have_its_reader_leave(tree: Path) -> None:
    """As ever behind `| head`; a full disk is a failure there too, and says so."""
    plan = command("plan", "r", "--tree", str(tree), "--format", "json")
    running = subprocess.Popen(plan, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout
    running.stdout.close()
    _, told = running.communicate(timeout=30)
    assert (running.returncode, told) == (Exit.OK, b"")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(plan, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == Exit.NOT_SHOWN
    assert b"No space left on device" in done.stderr


def test_a_command_that_only_shows_shows_all_of_it(tmp_path: Path) -> None:
    """As `plan --format json` of 10,000 points, 12 MB in one piece: only where nobody waits for the reader may anything be left out."""
    handle = os.open(tmp_path / "shown", os.O_WRONLY | os.O_CREAT)
    stream = streams.Stream(handle, background=False, when_lost=pytest.fail)
    stream.write("x" * (streams.PENDING_MOST + 1))
    stream.write("y")
    stream.finish()
    os.close(handle)
    assert (tmp_path / "shown").stat().st_size == streams.PENDING_MOST + 2


def behind_a_slow_reader(tmp_path: Path, lines: str) -> tuple[bytes, bytes, int]:
    """What a reader that begins when all is said gets of a verb that acts: stdout, stderr, exit code."""
    program, said = tmp_path / "verb.py", tmp_path / "said"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom utils.cli import streams\n"
        f"with streams.shown(acts=True, reads=False) as ended:\n{lines}    Path({str(said)!r}).touch()\nsys.exit(ended.code)\n"
    )
    running = subprocess.Popen(
        [sys.executable, str(program)],
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 60
    while not said.exists():
        assert time.monotonic() < end, "it waits for its reader"
        time.sleep(0.02)
    out, err = running.communicate(timeout=60)
    return out, err, running.returncode


def test_what_a_slow_reader_is_not_shown_is_said(tmp_path: Path) -> None:
    """Nothing waits for it while something is done; but a part that is missing is never a success."""
    lines = f"    for _ in range(3):\n        sys.stdout.write('x' * {streams.PENDING_MOST // 2 + 1})\n"
    out, err, code = behind_a_slow_reader(tmp_path, lines)
    assert code == Exit.NOT_SHOWN
    assert len(out) < 3 * (streams.PENDING_MOST // 2 + 1)
    missing = 3 * (streams.PENDING_MOST // 2 + 1) - len(out)
    assert f"{missing:,} bytes of stdout are not shown".encode() in err


def test_what_comes_when_all_is_done_waits_for_its_reader(tmp_path: Path) -> None:
    """As the value of `run --format json`, which half of is no value."""
    lines = "    sys.stdout.show_all()\n    for _ in range(300):\n        sys.stdout.write('x' * 100_000)\n"
    out, err, code = behind_a_slow_reader(tmp_path, lines)
    assert (len(out), err, code) == (30_000_000, b"", 0)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "r"], True),
        (["run", "r", "--format", "json"], True),
        (["run", "r", "--print-script"], False),
        (["run", "r", "--print-batch"], False),
        (["run", "--help"], False),
        (["plan", "r"], False),
        (["cancel", "d"], True),
    ],
)
def test_only_what_acts_may_leave_something_out(
    monkeypatch: pytest.MonkeyPatch, words: list[str], *, wanted: bool
) -> None:
    """A script that is printed is all that is asked for, however long it is."""
    asked: list[bool] = []

    def shown(*, acts: bool, reads: bool) -> AbstractContextManager[streams.Ended]:
        del reads
        asked.append(acts)
        return nullcontext(streams.Ended())

    monkeypatch.setattr(streams, "shown", shown)
    monkeypatch.setattr(main, "_run", lambda _: 0)
    main.main(words)
    assert asked == [wanted]
