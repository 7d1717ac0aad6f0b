"""Processes and signals, where a whole job would hide what one part does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import environment
from utils.node import process, record_file
from utils.node.events import Event
from utils.node.exceptions import Cancelled
from utils.node.run import outcome
from utils.node.spec import NodeJob


def test_stop_ends_the_whole_group(tmp_path: Path) -> None:
    """A server's own children must be gone before the next server starts, not only when the node ends."""
    log = tmp_path / "log"
    with log.open("wb") as sink:
        started = process.start(
            ["sh", "-c", "sleep 60 & echo $!; wait"], env={"PATH": "/usr/bin:/bin"}, log=sink
        )
    while not log.read_text().strip():
        time.sleep(0.01)
    child = Path("/proc") / log.read_text().strip()
    process.stop(started)
    end = time.monotonic() + 5
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2] and time.monotonic() < end:
        time.sleep(0.01)
    assert not child.exists() or "Z" in (child / "stat").read_text().split()[2]


def test_a_signal_after_a_record_is_written_does_not_replace_it(
    node_command: Callable[..., tuple[list[str], Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between writing and counting a point as done."""
    command, out = node_command()
    spec = NodeJob.model_validate(json.loads(Path(command[-1]).read_bytes()))
    monkeypatch.setattr(process, "cancellation_seen", lambda: None)

    def emit(event: Event) -> None:
        if event["kind"] == "point" and event.get("text") == "measured":
            raise Cancelled("SIGTERM")

    assert outcome(spec, emit) is Exit.CANCELLED
    found = sorted(
        (record_file.read(path) for path in out.rglob("record.json")), key=lambda one: one.position
    )
    assert [one.status for one in found] == ["measured", "cancelled"]
    assert found[1].failure
    assert found[1].failure.reason == "CANCELLED"


def test_the_first_moment_of_a_signal_can_be_lost_and_the_next_is_not() -> None:
    """Python drops exceptions of finalizers; the signal is raised again until it is seen."""
    program = (
        "import os, signal, time\n"
        "from utils.node import process\n"
        "from utils.node.exceptions import Cancelled\n"
        "process.cancel_on_signals()\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.01)\n"
        "try:\n"
        "    one = Swallows()\n"
        "    del one\n"
        "    time.sleep(10)\n"
        "except Cancelled as caught:\n"
        "    process.cancellation_seen()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.5)\n"
        "    print('seen', caught)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stdout == "seen SIGTERM\n", done.stderr
    assert "Exception ignored" in done.stderr
