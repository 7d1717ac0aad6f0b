"""A run whose server is in a container of its own: two programs that share one folder, on the FAKE vLLM; and what a lying one can do."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, environment
from tests.utils.node.conftest import with_fault
from tests.utils.node.test_faults import FAULTS, nothing_is_left, records
from utils.node.exceptions import RunFailed
from utils.node.variables import Wanted
from utils.node.vllm.server_apart import LOST, Apart, ServerElsewhere
from utils.node.vllm.server_host import Lines

Command = Callable[..., tuple[list[str], Path]]
HOST = [sys.executable, "-P", "-m", "utils.node.vllm.server_host"]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """The run's own folder, and the one in it that its server's container sees."""
    shared = tmp_path / "box" / "scratch"
    shared.mkdir(parents=True)
    return shared.parent, shared


def run_apart(
    node_command: Command, both: tuple[Path, Path], fault: str = "", *, starts: bool = True
) -> tuple[int, list[dict[str, Any]], Path, int | None]:
    """What the batch script does: the run first, and the server's program once the run is ready for it."""
    own, shared = both
    command, out = node_command(1)
    with_fault(command, fault)
    path = Path(command[-1])
    spec = json.loads(path.read_text())
    path.write_text(json.dumps(spec | {"serve_in": str(shared)}))
    private = own / "own"
    private.mkdir()
    run = subprocess.Popen(
        command,
        env=environment() | {"TMPDIR": str(private)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = None
    try:
        while not (own / "ready").exists() and run.poll() is None:
            time.sleep(0.02)
        if starts:
            there = environment() | {"ONLY_THERE": "1"}
            server = subprocess.Popen([*HOST, str(shared / "server.sock")], env=there, cwd=ROOT)
        else:
            (own / "server-ended").write_text("127\n")
        said, errors = run.communicate(timeout=60)
        assert not errors, errors
        ended = server.wait(30) if server else None
    finally:
        for one in (run, server):
            if one and one.poll() is None:
                one.kill()
                one.wait()
    return run.returncode, [json.loads(line) for line in said.splitlines()], out, ended


def test_a_run_measures_a_server_that_it_cannot_see(node_command: Command, both: tuple[Path, Path]) -> None:
    """The same record as of a server of its own; client and server have folders of their own, and nothing stays."""
    code, _, out, ended = run_apart(node_command, both)
    assert (code, ended) == (Exit.OK, 0)
    found = records(out)
    assert [one.status for one in found] == ["measured", "measured"]
    assert all(gate.passed for one in found for gate in one.gates)
    assert {gate.name for gate in found[0].gates} >= {"one_engine", "server_alive"}
    assert found[0].telemetry
    assert found[0].telemetry.server_rss_peak_bytes > 1_000_000
    assert (out / "run-0-head/server.log").stat().st_size
    assert (out / "run-0-head/started").exists(), "where the server's container cannot take it away"
    own, shared = both
    assert [path.name for path in shared.iterdir()] == ["server.sock"]
    assert list((own / "own").iterdir()) == []
    assert nothing_is_left(out)


@pytest.mark.parametrize(
    "fault", ["exit-at-start", "never-ready", "first-completion-kills", "die-mid-load", "client-fails"]
)
def test_a_fault_ends_as_with_a_server_of_its_own(
    node_command: Command, both: tuple[Path, Path], fault: str
) -> None:
    """Its exit code, a message, the log's decisive line."""
    wanted, message, evidence = FAULTS[fault]
    code, _, out, ended = run_apart(node_command, both, fault)
    assert (code, ended) == (wanted, 0)
    failure = records(out)[0].failure
    assert failure
    assert (failure.reason, message in failure.message) == (wanted.name, True)
    assert not evidence or any(evidence in line for line in failure.evidence)
    assert nothing_is_left(out)


def test_a_container_that_ends_before_it_serves_is_not_waited_for(
    node_command: Command, both: tuple[Path, Path]
) -> None:
    """The batch script says that it has ended, and with what."""
    code, _, out, _ = run_apart(node_command, both, starts=False)
    assert code == Exit.SERVER_EXITED
    assert "container ended before it served (exit 127)" in records(out)[0].failure.message  # type: ignore[union-attr]  # it failed
    assert not (out / "run-0-head/started").exists(), "something that was to start did not"


@pytest.fixture
def link() -> Iterator[tuple[Lines, Lines]]:
    """The run's side, and the server's."""
    with contextlib.ExitStack() as ends:
        ours, theirs = (ends.enter_context(one) for one in socket.socketpair())
        yield Lines(ours, answer_s=0.5, files=False), Lines(theirs)


LIES = {
    "silence": None,
    "no JSON": b"\x00\xff\n",
    "no object": b"[1]\n",
    "deep": b"[" * 100_000 + b"\n",
    "no end": b"x" * 3_000_000,
    "a status that is none": b'{"status": "fine", "processes": 7, "bytes": "many", "seconds": -1}\n',
    "endless numbers": b'{"status": true, "processes": {"x": 1, "8": ["1", 2, 3]}, "bytes": 1e400, "seconds": NaN}\n',
    "a number that is none": b'{"status": 255.0, "processes": {"' + b"9" * 5000 + b'": ["1", "x"]}}\n',
}


@pytest.mark.hostile
@pytest.mark.parametrize("lie", LIES)
def test_what_a_server_side_says_never_breaks_the_run(link: tuple[Lines, Lines], lie: str) -> None:
    """An answer that is none counts as the server's end; no number of it is believed to be more than a number."""
    ours, theirs = link
    text = LIES[lie]

    def answer() -> None:
        with contextlib.suppress(OSError):
            while theirs.link.recv(65536):
                if text is not None:
                    theirs.link.sendall(text)

    speaking = threading.Thread(target=answer, daemon=True)
    speaking.start()
    server = ServerElsewhere(ours)
    assert server.processes() == {}
    assert server.rss_bytes() == 0
    assert server.cpu_elsewhere_s() == 0
    assert server.poll() == LOST
    server.stop()


@pytest.mark.hostile
def test_an_answer_that_comes_by_drops_is_not_waited_for(link: tuple[Lines, Lines]) -> None:
    """A letter each moment is no answer: what counts is the time of a whole one."""
    ours, theirs = link
    over = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.05):
                theirs.link.sendall(b" ")

    speaking = threading.Thread(target=drip, daemon=True)
    speaking.start()
    began = time.monotonic()
    closing = threading.Timer(5, theirs.link.close)
    closing.start()
    try:
        assert ServerElsewhere(ours).poll() == LOST
    finally:
        over.set()
        closing.cancel()
    assert time.monotonic() - began < 3


@pytest.mark.hostile
def test_files_that_a_server_side_sends_are_not_taken(link: tuple[Lines, Lines]) -> None:
    """Else they would use up what the run may open."""
    ours, theirs = link
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Path("/dev/null").open("rb") as file:
        for letter in '{"status": null}\n':
            socket.send_fds(theirs.link, [letter.encode()], [file.fileno()] * 2)
        assert ServerElsewhere(ours).poll() is None
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1


@pytest.mark.hostile
def test_a_side_that_goes_away_is_the_servers_end(link: tuple[Lines, Lines]) -> None:
    """And what runs there ends with the run, whatever ended that."""
    ours, theirs = link
    theirs.link.close()
    assert ServerElsewhere(ours).poll() == LOST


def test_nothing_outlives_a_run_that_was_killed(both: tuple[Path, Path], tmp_path: Path) -> None:
    """Its side of the socket closes with it."""
    own, shared = both
    apart = Apart(shared, own, tmp_path, 20)
    with subprocess.Popen([*HOST, str(shared / "server.sock")], env=environment(), cwd=ROOT) as host:
        program = [
            sys.executable,
            "-c",
            "import os, time; print(os.environ['A'], os.getpid(), flush=True); time.sleep(60)",
        ]
        log = tmp_path / "log"
        with log.open("wb") as sink:
            server = apart.start(program, Wanted({"A": "given"}, "python3", of_image=False), [], sink)
        while not (said := log.read_text().split()):
            time.sleep(0.02)
        assert said[0] == "given"
        assert server.poll() is None
        assert int(said[1]) in server.processes()
        assert server.cpu_elsewhere_s() > 0
        apart.close()
        assert host.wait(10) == 0
    assert not Path(f"/proc/{said[1]}").exists()


def test_a_program_that_is_not_there_is_named(both: tuple[Path, Path], tmp_path: Path) -> None:
    """By the server's side, whose image it is that lacks it."""
    own, shared = both
    apart = Apart(shared, own, tmp_path, 20)
    with subprocess.Popen([*HOST, str(shared / "server.sock")], env=environment(), cwd=ROOT) as host:
        with (
            (tmp_path / "log").open("wb") as sink,
            pytest.raises(RunFailed, match="no-such-program") as failed,
        ):
            apart.start(["no-such-program", "serve"], Wanted({}, "no-such-program", of_image=True), [], sink)
        assert failed.value.exit_code is Exit.SERVER_EXITED
        apart.close()
        assert host.wait(10) == 0


def test_a_folder_that_is_too_deep_for_a_socket_is_named(both: tuple[Path, Path], tmp_path: Path) -> None:
    """unix(7): a path has 108 bytes."""
    own, shared = both
    deep = shared / ("x" * 100)
    deep.mkdir()
    with pytest.raises(RunFailed, match=r"shorter container\.workdir") as failed:
        Apart(deep, own, tmp_path, 20)
    assert failed.value.exit_code is Exit.SETUP_FAILED
    assert not (own / "ready").exists()
