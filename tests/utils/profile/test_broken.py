from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.utils.profile.made import Made, model
from utils.profile import events, trace
from utils.profile.events import Reader
from utils.profile.trace import Bounds, Trace, read

STEP = "execute_context_0(0)_generation_4(4)"


def whole() -> bytes:
    made = Made()
    made.step(STEP, 0, 40)
    model(made, 5, dense=1, sparse=2)
    return made.text(distributedInfo={"rank": 0, "world_size": 8}).encode()


def of(path: Path, **bounds: float) -> Trace:
    return read(path, bounds=Bounds(**({"gigabytes": 1.0} | bounds)))  # type: ignore[arg-type]


def nested(deep: int) -> bytes:
    return b'{"traceEvents": [{"ph": "X", "args": ' + b'{"a":' * deep + b"1" + b"}" * deep + b"}]}"


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "an empty object": (lambda: b"{}", "no `traceEvents`"),
    "not JSON": (lambda: b"<html>", "is not a trace: JSON begins with a brace"),
    "other JSON": (lambda: b'{"results": []}', "no `traceEvents`"),
    "no events": (lambda: b'{"traceEvents": []}', "0 events, and none is a kernel"),
    "annotations alone": (
        lambda: json.dumps(
            {"traceEvents": [{"ph": "X", "cat": "user_annotation", "name": STEP, "ts": 1, "dur": 2}]}
        ).encode(),
        "1 events, and none is a kernel",
    ),
    "cut in its header": (lambda: whole()[:30], "no `traceEvents`"),
    "cut in an event": (
        lambda: whole()[:3000],
        r"in the middle of an event.*byte \d.*after \d+ whole events",
    ),
    "cut between two": (lambda: whole()[: whole().index(b"}\n  },") + 5], "in the middle of its events"),
    "a number for an event": (lambda: b'{"traceEvents": [{"ph": "M"}, 7]}', "an event should begin .byte 30"),
    "broken inside": (lambda: whole().replace(b'"ph": "X"', b'"ph" "X"', 1), "is broken .*byte"),
    "nested without end": (lambda: nested(1_000_000), "nests more than 100 deep"),
    "packed and cut": (lambda: gzip.compress(whole())[:-30], "cut short or damaged after .* unpacked bytes"),
    "packed and damaged": (lambda: gzip.compress(whole())[:60] + b"\0" * 400, "cut short or damaged"),
    "packed as zstd": (lambda: b"\x28\xb5\x2f\xfd" + whole(), "is packed as Zstandard.*zstd -d t.json.gz"),
    "packed as xz": (lambda: lzma.compress(whole()), "is packed as xz.*xz -d"),
    "packed as bzip2": (lambda: bz2.compress(whole()), "is packed as bzip2"),
    "packed as zip": (lambda: b"PK\x03\x04" + whole(), "is packed as zip"),
    "packed twice": (lambda: gzip.compress(gzip.compress(whole())), "JSON begins with a brace"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_traces(tmp_path: Path, case: str) -> None:
    """Each has a message that says what it is, with the file's name."""
    content, message = BROKEN[case]
    path = tmp_path / "t.json.gz"
    path.write_bytes(content())
    with pytest.raises(HarnessError, match=message) as caught:
        of(path)
    assert caught.value.exit_code == Exit.TRACE_UNREADABLE
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """No traceback."""
    with pytest.raises(HarnessError, match="no such file"):
        of(tmp_path / "t.json")


def test_a_bomb_is_given_up_at_the_bound(tmp_path: Path) -> None:
    """What was read, the bound, and the option that raises it; never the terabytes."""
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(b'{"traceEvents": [' + b" " * 20_000_000))
    with pytest.raises(
        HarnessError, match=r"more than 0\.01 GB from 0\.0 MB \([\d,]+ times its size\).*--max-gb"
    ):
        of(path, gigabytes=0.01)


def test_a_huge_text_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that never ends must not fill the memory."""
    monkeypatch.setattr(events, "MOST_EVENT", 100_000)
    path = tmp_path / "t.json"
    path.write_bytes(b'{"traceEvents": [{"ph": "M"}, {"ph": "X", "name": "' + b"a" * 3_000_000)
    with pytest.raises(HarnessError, match="an event of more than"):
        of(path)


def test_bounds_of_events_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are told with what raises them, or what is odd about it."""
    path = tmp_path / "t.json"
    path.write_bytes(whole())
    with pytest.raises(HarnessError, match="--max-events"):
        of(path, events=10)
    monkeypatch.setattr(trace, "MOST_NAMES_BYTES", 50)
    with pytest.raises(HarnessError, match="different names"):
        of(path)


def test_bounds_of_streams_and_of_what_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither names of streams nor begins without an end may fill the memory."""
    monkeypatch.setattr(trace, "MOST_LANES", 50)
    made = Made()
    for number in range(60):
        made.on_device("gemm", number, 1, None, stream=number)
    with pytest.raises(HarnessError, match="more than 50 streams and threads"):
        of(made.write(tmp_path / "t.json"))
    begins = [{"ph": "B", "cat": "kernel", "name": "a", "ts": n, "pid": 0, "tid": 7} for n in range(60)]
    (tmp_path / "t.json").write_text(json.dumps({"traceEvents": begins}))
    with pytest.raises(HarnessError, match="--max-events"):
        of(tmp_path / "t.json", events=50)
    for number, one in enumerate(begins):
        one["tid"] = number
    (tmp_path / "t.json").write_text(json.dumps({"traceEvents": begins}))
    with pytest.raises(HarnessError, match="more than"):
        of(tmp_path / "t.json")


@pytest.mark.parametrize("correlation", [None, 0, -1])
def test_what_has_no_correlation_has_no_launch(tmp_path: Path, correlation: int | None) -> None:
    """A call and a kernel that both say none do not belong together."""
    made = Made()
    made.add(
        "cuda_runtime",
        "cudaLaunchKernel",
        0,
        1,
        **({} if correlation is None else {"correlation": correlation}),
    )
    made.on_device("gemm", 10, 5, correlation)
    assert any("1 of 1 kernels and copies have no launch" in one for one in made.profile(tmp_path).remarks)


@pytest.mark.parametrize(
    "before",
    [
        '{"other": {"traceEvents": [{"ph": "X", "cat": "kernel", "name": "b", "ts": 1, "dur": 1}]}, ',
        '{"note": "\\"traceEvents\\": [", ',
        '\ufeff{"rank": 1, ',
        '{"broken" 1, ',
    ],
)
def test_the_events_are_those_of_the_whole(tmp_path: Path, before: str) -> None:
    """Not those of an object inside, or of a text; a mark of the byte order and a broken field before them are passed over."""
    event = {"ph": "X", "cat": "kernel", "name": "a", "pid": 0, "tid": 7, "ts": 5, "dur": 2}
    path = tmp_path / "t.json"
    path.write_text(f'{before}"traceEvents": [{json.dumps(event)}]}}', encoding="utf-8")
    assert of(path).names == ["a"]


def test_events_that_are_left_out_are_counted(tmp_path: Path) -> None:
    """Without a duration, with a negative one, of another kind, half ones; the rest counts."""
    made = Made()
    made.kernel("gemm", 10, 5, 1)
    made.kernel("gemm", 20, -5, 2)
    good = {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7}
    made.events += [
        good | {"ts": 30},
        good | {"dur": 5},
        good | {"ts": [], "dur": 1},
        good | {"ph": "B", "ts": 5},
    ]
    made.events += [good | {"ts": 1e300, "dur": 1}, good | {"ts": float("nan"), "dur": 1}]
    made.events += [good | {"ts": 1, "dur": 1, "args": {"correlation": 10**30}}]
    found = of(made.write(tmp_path / "t.json"))
    assert len(found.device) == 1
    told = " ".join(found.remarks)
    assert "2 events without a time or a duration" in told
    assert "1 events with a negative duration" in told
    assert "2 events whose fields are of another kind" in told
    assert "2 events at a time that cannot be" in told
    assert "1 events that begin and never end" in told


def test_begin_and_end_are_one_event(tmp_path: Path) -> None:
    """As other writers of this format do it; an end need not repeat what its begin said."""
    made = Made()
    base = {"pid": 0, "tid": 7}
    made.events += [
        {"ph": "B", "cat": "kernel", "name": "a", "ts": 10, **base},
        {"ph": "B", "cat": "kernel", "name": "b", "ts": 12, **base},
        {"ph": "E", "ts": 15, **base},
        {"ph": "E", "ts": 20, **base},
    ]
    found = of(made.write(tmp_path / "t.json"))
    assert [
        (found.names[name], dur) for name, dur in zip(found.device.name, found.device.duration, strict=True)
    ] == [
        ("a", 10),
        ("b", 3),
    ]


def test_unsorted_events_and_negative_times_give_the_same_profile(tmp_path: Path) -> None:
    """For torch does not write in order; it is said."""
    made, at = Made(), 0.0
    for _ in range(3):
        made.step(STEP, at, 40)
        at = model(made, at + 5, dense=1, sparse=2) + 100
    sorted_ = made.profile(tmp_path)
    made.events.reverse()
    for one in made.events:
        one["ts"] -= 5000
    other = made.profile(tmp_path)
    assert other.phases == sorted_.phases
    assert any("not in order" in remark for remark in other.remarks)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
@pytest.mark.parametrize("indent", [None, 1, 2])
def test_pieces_of_any_size_give_all_events(size: int, indent: int | None) -> None:
    """Also with what looks like a border: in a text, and between objects inside of an event."""
    names = ['a}, {"ph": "X", "b', "c\\\\", 'd"]', "e\u00e9\U0001f600"]
    rows = [
        {"ph": "X", "name": names[i % 4], "ts": i, "args": {"stream": i, "more": [{"x": 1}, {"y": [2]}, {}]}}
        for i in range(60)
    ]
    content = json.dumps(
        {"a": 1, "traceEvents": rows, "z": {"rank": 3}}, indent=indent, ensure_ascii=False
    ).encode()
    reader = Reader(Path("t"), [content[at : at + size] for at in range(0, len(content), size)])
    found = [one for batch in reader.batches() for one in batch]
    assert [(one.name, one.ts, one.args and one.args.stream) for one in found] == [
        (names[i % 4], i, i) for i in range(60)
    ]
    assert (reader.events, reader.meta) == (60, {"a": 1, "z": {"rank": 3}})


def test_what_only_lenient_readers_take(tmp_path: Path) -> None:
    """NaN and stray bytes, as profilers do write them; a bare array, as other tools do."""
    event = b'{"ph": "X", "cat": "kernel", "name": "g\xff", "ts": 1, "dur": 2, "pid": 0, "tid": 7, "args": {"occupancy": NaN, "stream": "7"}}'
    path = tmp_path / "t.json"
    path.write_bytes(b"[" + event + b"," + event + b"]")
    found = of(path)
    assert len(found.device) == 2
    assert re.fullmatch("g.", found.names[0])


def test_a_folder_of_ranks(tmp_path: Path) -> None:
    """One is read, and which is said; a wrong rank is told with those that are there."""
    made = Made()
    made.kernel("gemm", 10, 5, 1)
    for rank in (3, 1):
        made.write(
            tmp_path / f"dp0_tp{rank}_rank{rank}.17{rank}.pt.trace.json.gz", distributedInfo={"rank": rank}
        )
    made.write(tmp_path / "dp0_tp1_rank1.19.pt.trace.json.gz", distributedInfo={"rank": 1})
    found = of(tmp_path)
    assert (found.rank, found.path.name) == (1, "dp0_tp1_rank1.19.pt.trace.json.gz")
    assert "3 traces in" in found.remarks[0]
    assert "of rank 1, the last by name of 2" in found.remarks[0]
    assert read(tmp_path, rank=3, bounds=Bounds(1.0)).rank == 3
    with pytest.raises(HarnessError, match="no trace of rank 2 here; there are traces of rank 1, 3"):
        read(tmp_path, rank=2, bounds=Bounds(1.0))
    with pytest.raises(HarnessError, match="is of rank 1, and --rank 3 was asked for"):
        read(found.path, rank=3, bounds=Bounds(1.0))
    (tmp_path / "dp0_tp1_rank1.99.pt.trace.json.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    assert of(tmp_path).path == found.path
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "rank0.pt.trace.json.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(HarnessError, match="is packed as Zstandard"):
        of(tmp_path / "packed")
    (tmp_path / "none").mkdir()
    with pytest.raises(HarnessError, match="no trace in this folder"):
        of(tmp_path / "none")


def test_the_rank_is_in_the_file_where_its_name_has_none(tmp_path: Path) -> None:
    """Packed and plain."""
    made = Made()
    made.kernel("gemm", 10, 5, 1)
    made.write(tmp_path / "a.json", distributedInfo={"rank": 5})
    made.write(tmp_path / "b.json.gz", distributedInfo={"rank": 4})
    assert of(tmp_path).rank == 4
    assert read(tmp_path, rank=5, bounds=Bounds(1.0)).rank == 5
