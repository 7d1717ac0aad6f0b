"""A run's pair of profiles beside its records: found, read, in every place where the verdict is, and never judged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.utils.profile.made import Made, model
from tests.utils.results.conftest import Records, noise, pair, records, sides
from utils.node import record, record_file
from utils.pipeline.reasons import traces, with_reasons
from utils.profile.pair import FOLDER
from utils.report import verdict_comment
from utils.results.changelog.edit import Stub, add
from utils.results.collect import collect
from utils.results.verdict import present
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import Comparison

__all__ = ["noise", "pair", "records"]  # fixtures
POINT = "r/32x16-tp1-c1"
STEP = "execute_context_0(0)_generation_4(4)"


def trace(path: Path, factor: float) -> None:
    """Three steps of decode."""
    made, at = Made(), 0.0
    for _ in range(3):
        made.step(STEP, at, 40)
        at = model(made, at + 5, dense=1, sparse=5, factor=factor) + 100
    path.parent.mkdir(parents=True, exist_ok=True)
    made.write(path)


@pytest.fixture
def out(tmp_path: Path, pair: Records) -> Path:
    """A results folder with a pair of profiles of one point; their records say so as a node writes it."""
    folder = tmp_path / "out"
    for one in pair(slower=1.1):
        record_file.save(one, folder / f"jobs/r/run-{one.run_index}-{one.arm}/{one.position}")
        if one.position == 0 and one.run_index < 2:
            run = folder / FOLDER / f"run/jobs/r.profile/run-{one.run_index}-{one.arm}"
            trace(run / "profile/decode.pt.trace.json.gz", 1.0 if one.arm == "base" else 2.0)
            note = {"traces": ["profile/decode.pt.trace.json.gz"], "status": "invalid"}
            record_file.save(one.model_copy(update=note), run / "0")
    (folder / FOLDER / record.BROKEN).write_text("{}")
    return folder


def judged(folder: Path, noise: Ledger) -> Comparison:
    base, head = sides(collect([folder]))
    return with_reasons(compare(base, head, noise), [folder])


def test_the_pair_is_found_and_not_judged(out: Path, noise: Ledger) -> None:
    """Its records are no measurement: the eight of the pair are collected alone."""
    assert len(collect([out])) == 8
    assert {arm: path.name for arm, path in traces(out)[POINT].items()} == {
        "base": "decode.pt.trace.json.gz",
        "head": "decode.pt.trace.json.gz",
    }
    (said,) = judged(out, noise).reasons
    assert said.point == POINT
    assert said.kernels[0].name == "fused_moe_kernel"


def test_the_line_is_everywhere(out: Path, noise: Ledger) -> None:
    """compare, its JSON, the changelog's entry, the comment."""
    found = judged(out, noise)
    line = f"where the time went: {found.reasons[0].text}"
    assert line in verdict_comment.parts(found)[0].replace("\\", "")
    assert line in present.markdown(found).replace("\\", "")
    assert json.loads(found.to_json())["reasons"][0]["text"] == found.reasons[0].text
    base, head = sides(collect([out]))
    text = add(b"", "f", head, base, Stub(1, "t", ("w",)), comparison=found)
    assert line in text
    assert Comparison.model_validate_json(found.model_dump_json()) == found


def test_a_broken_trace_is_said(out: Path, noise: Ledger) -> None:
    """The verdict stays."""
    path = traces(out)[POINT]["head"]
    path.write_bytes(gzip.compress(b'{"traceEvents": [{"ph"'))
    found = judged(out, noise)
    assert found.reasons == []
    assert any(note.startswith(f"{POINT}: its profiles cannot be read: ") for note in found.notes)


def test_a_name_leads_nowhere_else(out: Path, tmp_path: Path, noise: Ledger) -> None:
    """A trace outside of its run's folder is no trace of it."""
    trace(tmp_path / "other.json.gz", 3.0)
    for path in (out / FOLDER).rglob(record.FILE):
        one = record_file.read(path)
        note = {"traces": ["../../../../../../other.json.gz"]}
        record_file.save(one.model_copy(update=note), path.parent)
    assert traces(out) == {}
    assert judged(out, noise).reasons == []
