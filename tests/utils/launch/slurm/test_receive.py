"""The follower on the node and the receiver here, without Slurm between them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.errors import HarnessError
from utils.launch.slurm.receive import Left, Shared, Staged
from utils.node.files import write_whole
from utils.node.host import send
from utils.results.collect import collect


def spool(tmp_path: Path) -> Path:
    """A job's folder on a node, with one point measured."""
    folder = tmp_path / "spool"
    point = folder / "results/run-0-head/p1"
    point.mkdir(parents=True)
    (point / "record.json").write_text("{}")
    (folder / "results/run-0-head/server.log").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "slurm.log").write_text("slurm says\n")
    return folder


def say(folder: Path, **event: object) -> None:
    with (folder / "results/events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


def start(tmp_path: Path, folder: Path, *, seen: int = 0, hold_s: float = -1) -> Staged:
    left = Left(str(folder), str(tmp_path / "slurm.log"), sys.executable)
    return Staged.start([], left, tmp_path / "here", seen=seen, hold_s=hold_s)


def read_to_end(source: Staged) -> list[str]:
    kinds: list[str] = []
    end = time.monotonic() + 20
    while not source.over and time.monotonic() < end:
        kinds += [event["kind"] for event in source.read()]
        time.sleep(0.02)
    source.close()
    return kinds


def test_a_point_comes_while_the_job_runs_and_its_files_before_its_event(tmp_path: Path) -> None:
    """The rest comes at the end, and then the spool is gone."""
    folder = spool(tmp_path)
    source = start(tmp_path, folder)
    say(folder, kind="begin", name="mi0")
    say(folder, kind="point", name="r/p1", text="measured")
    end = time.monotonic() + 10
    seen: list[str] = []
    while "point" not in seen and time.monotonic() < end:
        seen += [event["kind"] for event in source.read()]
    assert (tmp_path / "here/run-0-head/p1/record.json").read_text() == "{}"
    assert not (tmp_path / "here/run-0-head/server.log").exists()
    say(folder, kind="end", name="job")
    (folder / "done").write_text("0")
    assert read_to_end(source) == ["end"]
    assert source.complete
    assert (tmp_path / "here/run-0-head/server.log").read_bytes() == bytes(range(256)) * 1000
    assert (tmp_path / "here/slurm.log").read_text() == "slurm says\n"
    assert not folder.exists()
    assert not (tmp_path / "slurm.log").exists()


def test_a_second_follower_goes_on_where_the_first_was_cut_off(tmp_path: Path) -> None:
    """No event twice; files again, which changes nothing."""
    folder = spool(tmp_path)
    for number in range(5):
        say(folder, kind="note", text=str(number))
    first = start(tmp_path, folder)
    end = time.monotonic() + 10
    while first.seen < 5 and time.monotonic() < end:
        first.read()
    first.handle.kill()
    first.close()
    assert folder.exists()
    say(folder, kind="note", text="5")
    second = start(tmp_path, folder, seen=first.seen, hold_s=0)
    assert read_to_end(second) == ["note"]
    assert second.seen == 6
    assert not folder.exists()


def test_nothing_is_removed_before_it_is_on_disk_here(tmp_path: Path) -> None:
    """A receiver whose disk is full acknowledges nothing."""
    folder = spool(tmp_path)
    (folder / "done").write_text("0")
    (tmp_path / "here").write_text("a file where the folder should be")
    source = start(tmp_path, folder, hold_s=0)
    source.handle.stdin and source.handle.stdin.close()
    read_to_end(source)
    assert "could not be written" in source.errors[0]
    assert not source.complete
    assert (folder / "results/run-0-head/p1/record.json").exists()


def test_a_spool_that_is_not_there(tmp_path: Path) -> None:
    """Says so, and Slurm's own log still comes."""
    (tmp_path / "slurm.log").write_text("died early\n")
    source = start(tmp_path, tmp_path / "nowhere", hold_s=0)
    assert read_to_end(source) == []
    assert source.missing
    assert (tmp_path / "here/slurm.log").read_text() == "died early\n"


def sent(name: str, content: bytes, sha256: str | None = None) -> bytes:
    data = base64.b64encode(zlib.compress(content)).decode()
    return json.dumps(
        {"file": name, "sha256": sha256 or hashlib.sha256(content).hexdigest(), "data": data}
    ).encode()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\0b"])
def test_a_name_that_leads_out_of_the_results_is_refused(tmp_path: Path, name: str) -> None:
    """What a node sends is data."""
    source = Staged(tmp_path / "here", subprocess.Popen(["true"]))
    source._take(sent(name, b"owned"))
    assert "leads out of the results" in source.errors[0]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    source.handle.wait()


def test_a_content_that_is_not_as_announced_is_refused(tmp_path: Path) -> None:
    """And so is one that unpacks to more than a file may have."""
    source = Staged(tmp_path / "here", subprocess.Popen(["true"]))
    source._take(sent("a", b"x", "0" * 64))
    assert "did not arrive" in source.errors[0]
    source._take(sent("b", b"\0" * 301_000_000))
    assert "did not arrive" in source.errors[1]
    source._take(b"not json")
    assert list(tmp_path.rglob("*")) == []
    source.handle.wait()


def test_what_an_earlier_start_of_the_job_left_is_not_read(tmp_path: Path) -> None:
    """Slurm started it again; until it has begun, its spool is another's."""
    folder = spool(tmp_path)
    say(folder, kind="begin", facts={"restarts": 0})
    (folder / "done").write_text("143")
    left = Left(str(folder), "", sys.executable, restarts=1)
    early = Staged.start([], left, tmp_path / "here", seen=0, hold_s=-1)
    assert read_to_end(early) == []
    assert early.missing
    shared = Shared(folder / "results", restarts=1)
    assert shared.read() == []
    (folder / "results/events.jsonl").unlink()
    (folder / "done").unlink()
    say(folder, kind="begin", facts={"restarts": 1})
    assert [event["kind"] for event in shared.read()] == ["begin"]
    late = Staged.start([], left, tmp_path / "here", seen=0, hold_s=0)
    assert read_to_end(late) == ["begin"]


def test_a_large_log_is_cut_at_its_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its end is what tells why."""
    monkeypatch.setattr(send, "LARGEST", 10)
    folder = spool(tmp_path)
    (folder / "results/big.log").write_text("0123456789abcdef")
    send.Spool(folder, 0).send_new()
    line = next(
        one for one in map(json.loads, capsys.readouterr().out.splitlines()) if one["file"] == "big.log"
    )
    assert zlib.decompress(base64.b64decode(line["data"])) == b"6789abcdef"


def test_shared_results_are_read_line_by_line(tmp_path: Path) -> None:
    """A line that is not whole yet waits."""
    source = Shared(tmp_path / "spool/results")
    assert source.read() == []
    folder = spool(tmp_path)
    say(folder, kind="note", text="1")
    with (folder / "results/events.jsonl").open("a") as file:
        file.write('{"kind": "end", "na')
        file.flush()
        assert [event["kind"] for event in source.read()] == ["note"]
        file.write('me": "job", "facts": {"exit": 0}}\n')
    assert [event["kind"] for event in source.read()] == ["end"]


def test_no_link_that_a_container_left_is_followed(tmp_path: Path) -> None:
    """Neither to a file, nor to a folder, nor into a pipe that never ends."""
    folder = spool(tmp_path)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "record.json").write_text("key")
    run = folder / "results/run-0-head"
    (run / "server.log").unlink()
    (run / "server.log").symlink_to(secret / "record.json")
    (run / "p2").symlink_to(secret)
    os.mkfifo(run / "p1/pipe")
    say(folder, kind="point", name="r/p2", text="measured")
    (folder / "done").write_text("0")
    read_to_end(start(tmp_path, folder, hold_s=0))
    brought = {
        str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()
    }
    assert brought == {"run-0-head/p1/record.json", "events.jsonl", "slurm.log"}
    assert (secret / "record.json").exists()


def test_a_large_file_comes_in_pieces(tmp_path: Path) -> None:
    """Each look takes in a few megabytes, so that other jobs are followed meanwhile; the time grows with the size, not its square."""
    folder = spool(tmp_path)
    content = os.urandom(60_000_000)
    (folder / "results/run-0-head/large.bin").write_bytes(content)
    (folder / "done").write_text("0")
    source = start(tmp_path, folder, hold_s=0)
    longest = 0.0
    while not source.over:
        begin = time.monotonic()
        source.read()
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.01)
    source.close()
    assert (tmp_path / "here/run-0-head/large.bin").read_bytes() == content
    assert longest < 15


NAMES = {"n" * 250: b"", "run-0-head": b"a file where a folder is", "run-0-head/p1/record.json/x": b""}


@pytest.mark.parametrize(("name", "content"), NAMES.items(), ids=["long", "folder", "below-a-file"])
def test_a_name_that_cannot_be_written_is_an_error_of_that_job_alone(
    tmp_path: Path, name: str, content: bytes
) -> None:
    """Not of the launcher, which has others to follow."""
    write_whole(tmp_path / "here/run-0-head/p1/record.json", b"{}")
    source = Staged(tmp_path / "here", subprocess.Popen(["true"]))
    source._take(sent(name, content))
    assert "could not be written" in source.errors[0]
    source.handle.wait()


def test_a_pipe_in_a_records_place_does_not_hang(tmp_path: Path) -> None:
    """Nor is it a record."""
    (tmp_path / "p").mkdir()
    os.mkfifo(tmp_path / "p/record.json")
    with pytest.raises(HarnessError, match="not a file"):
        collect([tmp_path])


def test_a_spool_of_an_earlier_job_of_the_name_is_not_read(tmp_path: Path) -> None:
    """By its token: the job that begins there now has another one."""
    folder = spool(tmp_path)
    before, now = "0123", "4567"
    say(folder, kind="begin", token=before, facts={"restarts": 0})
    left = Left(str(folder), str(tmp_path / "slurm.log"), sys.executable, token=now)
    source = Staged.start([], left, tmp_path / "here", seen=0, hold_s=-1)
    assert read_to_end(source) == []
    assert source.missing
    source = Staged.start([], replace(left, token=before), tmp_path / "here", seen=0, hold_s=0)
    assert read_to_end(source) == ["begin"]


def test_a_record_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    """Where results are shared, a container's links would lead to the login node's files."""
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "run/p").mkdir(parents=True)
    (tmp_path / "run/p/record.json").symlink_to(tmp_path / "secret")
    with pytest.raises(HarnessError, match="symbolic links"):
        collect([tmp_path / "run"])


def test_the_job_waits_for_its_follower(tmp_path: Path) -> None:
    """As the batch script's last act does, with flock."""
    folder = spool(tmp_path)
    source = start(tmp_path, folder)
    end = time.monotonic() + 10
    while not (folder / "follower.lock").exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.2)
    (folder / "done").write_text("0")
    waiting = subprocess.Popen(["flock", "-w", "20", str(folder / "follower.lock"), "true"])
    thread = threading.Thread(target=read_to_end, args=(source,))
    thread.start()
    assert waiting.wait(20) == 0
    thread.join()
    assert source.complete


@pytest.mark.parametrize("gone", [["results/events.jsonl"], ["results"], ["done", "results/events.jsonl"]])
@pytest.mark.parametrize("over", [True, False])
def test_a_spool_that_is_half_removed_is_removed(tmp_path: Path, gone: list[str], *, over: bool) -> None:
    """Who removed it was killed meanwhile, once everything was home; of a job that still runs it may be one that only begins."""
    folder = spool(tmp_path)
    say(folder, kind="begin", facts={"restarts": 0})
    (folder / "done").write_text("0 token")
    (folder / "payload").mkdir()
    (folder / "payload/x.py").write_text("")
    for name in gone:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    mark = "0123"
    left = Left(str(folder), str(tmp_path / "slurm.log"), sys.executable, token=mark)
    source = Staged.start([], left, tmp_path / "here", seen=0, hold_s=0 if over else -1)
    read_to_end(source)
    assert source.missing
    assert folder.exists() is not over
    assert (tmp_path / "slurm.log").exists() is not over
