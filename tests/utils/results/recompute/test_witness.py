"""A load is refused where its server had counted less, asked from outside of the container; an honest one never is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.utils.results.recompute.conftest import Honest
from utils.node.requests_raw import RawLoad
from utils.results.recompute import left, witness

pytestmark = pytest.mark.hostile

HEAD = "asked_s,answered_s,requests,tokens\n"


@pytest.fixture
def honest(allocation: dict[str, Honest]) -> Iterator[Honest]:
    """A real load on an H100, with no samples yet."""
    one = allocation["head/c64"]
    yield one
    witness.file_of(one.folder).unlink(missing_ok=True)


def sampled(raw: RawLoad, share: float = 1.0, late_s: float = 0.0, every_s: float = 2.0) -> str:
    """What an honest server would have said: all that had ended, and the warm-up before; `share` and `late_s` make it another server."""
    lines, ended = [], raw.first_start_s + raw.end_us / 1e6
    for at in np.arange(raw.first_start_s - 1.3, raw.first_start_s + raw.duration_s + 3, every_s):
        mine = ended <= at - late_s
        requests, tokens = 64 + share * mine.sum(), 5000 + share * raw.output_len[mine].sum()
        lines.append(f"{at:.3f},{at + 0.01:.3f},{int(requests)},{int(tokens)}\n")
    return HEAD + "".join(lines)


def refused(honest: Honest, text: str) -> list[str]:
    witness.file_of(honest.folder).write_text(text)
    return [str(one) for one in honest.differences()]


def test_an_honest_server_says_the_same(honest: Honest) -> None:
    """Also where the first look came after the load's start, where a line is cut, and where looks are rare."""
    raw = left.read(honest.folder).raw
    text = sampled(raw)
    assert refused(honest, text) == []
    assert refused(honest, text + "12.0,13") == []
    assert refused(honest, HEAD + "".join(text.splitlines(keepends=True)[2:])) == []
    assert refused(honest, sampled(raw, every_s=17.0)) == []


@pytest.mark.parametrize("share", [0.97, 0.8, 0.5, 0.0])
def test_requests_that_the_server_never_counted_are_refused(honest: Honest, share: float) -> None:
    """3 % more than it made: the field is named, with both numbers."""
    found = refused(honest, sampled(left.read(honest.folder).raw, share=share))
    assert found
    assert "counters." in found[0]
    assert "outside of the container" in found[0]


@pytest.mark.parametrize("factor", [0.95, 0.7])
def test_a_load_said_to_be_faster_than_it_was_is_refused(honest: Honest, factor: float) -> None:
    """All times of the server are as they were; those that the run left are shorter."""
    raw = left.read(honest.folder).raw
    squeezed = RawLoad(**{
        **{name: getattr(raw, name) for name in RawLoad.__slots__},
        "start_us": (raw.start_us * factor).astype(np.int64), "latency_us": (raw.latency_us * factor).astype(np.int64),
    })  # fmt: skip
    path = witness.file_of(honest.folder)
    path.write_text(sampled(raw))
    assert list(witness.differences(raw, witness.read(path))) == []
    assert list(witness.differences(squeezed, witness.read(path)))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "1.0,2.0,x,4\n",
        HEAD + "1.0,2.0,3\n",
        HEAD + "1,2,3,4,5\n",
        HEAD + "nan,nan,1,1\n",
        HEAD,
        "",
        HEAD + "\u0661,2,3,4\n" * 2,
    ],
)
def test_samples_that_are_none_are_no_way_out(honest: Honest, text: str) -> None:
    """Garbled, or none although the load was long: refused with a reason, and nothing breaks."""
    assert refused(honest, text)


def test_a_server_that_answered_nobody_outside_is_refused(honest: Honest) -> None:
    """Looks before and after the load alone: whatever served it hid."""
    raw = left.read(honest.folder).raw
    late = raw.first_start_s + raw.duration_s + 2
    text = (
        HEAD
        + f"{raw.first_start_s - 3:.3f},{raw.first_start_s - 2.9:.3f},1,1\n{late:.3f},{late:.3f},900,900000\n"
    )
    assert any("answered nobody" in one for one in refused(honest, text))


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_samples_that_are_no_file_are_refused(honest: Honest, tmp_path: Path, kind: str) -> None:
    """What is at the place of the samples is read as a file, or not at all."""
    path = witness.file_of(honest.folder)
    make: Callable[[], None] = path.mkdir if kind == "folder" else lambda: path.symlink_to(tmp_path / "x")
    make()
    try:
        assert honest.differences()
    finally:
        path.rmdir() if kind == "folder" else path.unlink()


def test_without_a_batch_script_nothing_is_compared(honest: Honest) -> None:
    """As of the local launcher."""
    assert honest.differences() == []
