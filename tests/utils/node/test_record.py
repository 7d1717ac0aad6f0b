"""Records: written whole or not at all, read with a place, summarised where n supports it."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from tests.utils.node.conftest import RunNode
from tests.utils.node.test_gates import good
from utils.node import files, record, record_file, window_stats
from utils.node.agreed import Agreed
from utils.node.vllm.load_result import parse


@pytest.fixture
def written(run_node: RunNode) -> Path:
    """A record of the fake vLLM's."""
    return next(path for path in run_node()[2].rglob("record.json") if path.parent.name.endswith("c1"))


def test_a_record_comes_back_as_it_was(written: Path) -> None:
    """JSON and back changes nothing; every field that later parts need is there."""
    found = record_file.read(written)
    assert record.Record.model_validate(json.loads(found.model_dump_json())) == found
    assert found.provenance.commit == "a" * 40
    assert found.observed is not None
    assert found.observed.why_not == ["the environment was given by hand"]
    assert found.observed.key != found.key
    assert abs(found.clock.wall_unix_s - written.stat().st_mtime) < 5
    assert found.files is not None
    assert found.files.requests_bytes == (written.parent / "requests.json.gz").stat().st_size < 200_000


@pytest.mark.parametrize("keep", [0, 1, 500, -2])
def test_a_cut_record_is_an_error_with_its_place(written: Path, keep: int) -> None:
    """Never half of a measurement."""
    content = written.read_bytes()
    written.write_bytes(content[:keep])
    with pytest.raises(HarnessError) as caught:
        record_file.read(written)
    assert caught.value.exit_code is Exit.RECORD_UNREADABLE
    assert f"{written}:" in str(caught.value)


def test_a_record_of_another_version_is_an_error(written: Path) -> None:
    """It names what it does not know."""
    body = json.loads(written.read_text()) | {"schema_version": 3}
    written.write_text(json.dumps(body))
    with pytest.raises(HarnessError, match="schema_version"):
        record_file.read(written)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """The kernel refuses beyond a file-size limit, as a quota does."""
    import signal

    path = tmp_path / "record.json"
    files.write_whole(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(HarnessError) as caught:
            files.write_whole(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code is Exit.STORAGE_FULL
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_runs_agree_on_is_written_once_and_nobody_waits_for_the_disk(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait is one between two points; with two arms the same number is agreed on again in each later run."""
    waits: list[int] = []
    monkeypatch.setattr("os.fsync", waits.append)
    point = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0].points[0]
    agreed = Agreed(tmp_path / "requests.json", [point])
    agreed.note(point, 300)
    first = (tmp_path / "requests.json").stat()
    agreed.note(point, 300)
    assert agreed.of(point) == 300
    assert (tmp_path / "requests.json").stat().st_ino == first.st_ino
    assert not waits
    files.write_whole(tmp_path / "record.json", b"{}")
    assert len(waits) == 1


def test_times_of_tokens_are_packed_about_as_fast_as_they_are_written_as_json() -> None:
    """The devices wait for it: of a large load it took 5 s, twenty times as long as the JSON."""
    rows = np.random.default_rng(0).integers(19_000, 21_000, (300, 1000)).tolist()
    ratios = []
    for _ in range(3):
        begin = time.process_time()
        json.dumps(rows)
        middle = time.process_time()
        files.packed({"itl_us": rows})
        ratios.append((time.process_time() - middle) / (middle - begin))
    assert min(ratios) < 6


@given(st.integers(0, 4000))
def test_percentiles_stand_only_where_n_supports_them(n: int) -> None:
    """A p99 of ten requests is nobody's p99."""
    found = window_stats.summary(np.full(n, 1_000_000))
    assert (found.p50 is not None) == (n >= 5)
    assert (found.p90 is not None) == (n >= 29)
    assert (found.p99 is not None) == (n >= 299)
    assert (found.p999 is not None) == (n >= 2995)


def test_needed_values_are_the_smallest_that_a_bound_of_95_percent_has() -> None:
    """0.9^29 is below 5 %, 0.9^28 is not."""
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        n = record.VALUES_NEEDED[name]
        assert q**n <= 0.05 < q ** (n - 1)


def test_the_steady_window_leaves_out_the_burst_and_the_drain() -> None:
    """From the end of the first wave to the last start; a constant loop has the same rate there as its tokens say."""
    raw = good().raw
    window = window_stats.steady(raw, 4, 1)
    assert window is not None
    assert window.start_s == raw.end_us[:4].max() / 1e6
    assert window.start_s + window.duration_s == pytest.approx(raw.start_us.max() / 1e6)
    assert window.tpot_s.mean == pytest.approx(0.005)
    assert window.output_tok_per_s_per_device == pytest.approx(
        4 * raw.output_len.mean() / (raw.latency_us.mean() / 1e6), rel=0.05
    )


def test_there_is_no_steady_window_of_a_short_load() -> None:
    """One wave has no middle, and a few requests tell nothing."""
    raw = good().raw
    assert window_stats.steady(raw, 40, 1) is None
    assert window_stats.steady(raw, 37, 1) is None


def test_whole_run_means_are_the_clients_own() -> None:
    """Held against what vLLM 0.32.0's client says of a real load."""
    content = (ROOT / "tests/golden/vllm-bench-0.32.0.json").read_bytes()
    told = json.loads(content)
    window = window_stats.whole(parse(content, "load.json"), 1)
    assert window.ttft_s.mean * 1000 == pytest.approx(told["mean_ttft_ms"], rel=1e-4)
    assert window.tpot_s.mean * 1000 == pytest.approx(told["mean_tpot_ms"], rel=1e-4)
    assert window.e2el_s.mean * 1000 == pytest.approx(told["mean_e2el_ms"], rel=1e-4)
    assert window.itl_s.p50 is not None
    assert window.itl_s.p50 * 1000 == pytest.approx(told["p50_itl_ms"], rel=1e-3)
    assert window.total_tok_per_s_per_device == pytest.approx(told["total_token_throughput"], rel=1e-6)
