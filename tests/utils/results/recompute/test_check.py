"""A real record is accepted; one that says otherwise in any field that can be checked is refused, with the field."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.utils.results.recompute.conftest import Honest
from utils.node import files
from utils.node.gates import GATES
from utils.node.record import Failure, Record, ServerWindow
from utils.node.saturation import remark
from utils.results.recompute import check, left
from utils.results.recompute.fields import FIELDS, word

pytestmark = pytest.mark.hostile

EACH = ("base/c64", "base/c108", "head/c64", "head/c108")
REFUSED = ("recomputed", "compared")
SECONDS = 6.0
"""Ten times what it takes here: this shows a mistake in kind."""
Allocation = dict[str, Honest]


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a record with its place; of a long list the first and the last."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list) and value:
        for number in sorted({0, len(value) - 1}):
            yield from leaves(value[number], f"{place}.{number}")
    else:
        yield place, value


def changed(value: Any) -> Any:
    """Another value of the same kind: for a figure 1 % more, which is less than most claims."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.01 if value else 0.01
    if isinstance(value, str):
        return f"{value}x"
    return {"x": 1} if isinstance(value, dict) else ["x"] if isinstance(value, list) else 0.5


def doctored(one: Record, place: str) -> Record | None:
    """The record with one value changed; None where that is no record any more, which the reader refuses."""
    body = one.model_dump(mode="json")
    *way, last = place.split(".")
    inside: Any = body
    for step in way:
        inside = inside[int(step) if isinstance(inside, list) else step]
    key = int(last) if isinstance(inside, list) else last
    inside[key] = changed(inside[key])
    try:
        return Record.model_validate(body)
    except ValueError:
        return None


@pytest.mark.parametrize("name", EACH)
def test_a_real_record_is_accepted(allocation: Allocation, name: str) -> None:
    """Its figures were measured on an H100, and come out of its raw requests on another processor."""
    honest = allocation[name]
    assert honest.differences() == []
    assert check.accepted(honest.one).figures == "recomputed"


def test_every_field_has_its_word() -> None:
    """A new field of a record has a line in the table before anything passes."""
    assert {name.split(".")[0] for name in FIELDS} == set(Record.model_fields)


@pytest.mark.parametrize("name", ["head/c64"])
def test_every_doctored_value_is_refused(
    allocation: Allocation, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 % of what the table calls recomputed or compared: each value of the record is changed by itself."""
    honest = allocation[name]
    monkeypatch.setattr(left, "read", cache(left.read))  # the files stay as they are
    tried, missed = 0, []
    for place, _ in leaves(honest.one.model_dump(mode="json")):
        bad = doctored(honest.one, place) if word(place) in REFUSED else None
        if bad is None or bad == honest.one:  # no record any more, or a field whose default it was
            continue
        tried += 1
        if not honest.differences(bad):
            missed.append(place)
    assert missed == []
    assert tried > 200, "most of a record can be checked"


GONE = (
    "gates",
    "counts",
    "whole",
    "load",
    "counters",
    "telemetry",
    "files",
    "observed",
    "serve_argv",
    "phases",
)


@pytest.mark.parametrize("field", GONE)
def test_what_is_left_out_is_refused(allocation: Allocation, field: str) -> None:
    """A record without its gates, or without what they look at, is no measurement."""
    honest = allocation["head/c64"]
    empty: Any = [] if isinstance(getattr(honest.one, field), list) else None
    assert honest.differences(honest.one.model_copy(update={field: empty}))


@pytest.mark.parametrize("number", range(len(GATES)))
def test_the_list_of_gates_is_whole(allocation: Allocation, number: int) -> None:
    """Each gate that is taken out, or said to have passed in other words, is named."""
    honest = allocation["head/c64"]
    gates = honest.one.gates
    assert len(gates) == len(GATES)
    found = honest.differences(honest.one.model_copy(update={"gates": gates[:number] + gates[number + 1 :]}))
    assert any(f"gates.{gates[number].name}" in str(one) for one in found)


@pytest.mark.parametrize("gate", ["stream", "jit", "server_log"])
def test_what_lies_beside_the_requests_is_looked_at(
    allocation: Allocation, tmp_path: Path, gate: str
) -> None:
    """An empty first answer, a kernel new in a cache, and a traceback in the warm-up: the record says that its gate held."""
    honest = allocation["head/c64"]
    run = shutil.copytree(honest.folder.parent, tmp_path / honest.folder.parent.name)
    folder = run / honest.folder.name
    if gate != "server_log":
        rows = json.loads(gzip.decompress((folder / left.REQUESTS).read_bytes()))
        if gate == "stream":
            rows["node"]["streamed"]["tokens"][0] = 0
        else:
            rows["node"]["compiled"] = ["triton/x/fn.hsaco"]
        (folder / left.REQUESTS).write_bytes(files.packed(rows)[0])
    else:
        with (run / left.LOG).open("r+b") as log:
            log.seek(55_000)  # after the warm-up's begin, before the load's
            log.write(b"\nTraceback (most recent call last):\n")
    found = check.look(honest.one, folder, honest.asked, honest.others, {}).differences
    assert f"gates.{gate}.passed" in {one.field for one in found}


def test_a_log_that_nobody_read_whole_is_a_note(allocation: Allocation, tmp_path: Path) -> None:
    """The record does not say so; whoever judges again reads no more of it, and finds that the note is missing."""
    honest = allocation["head/c64"]
    run = shutil.copytree(honest.folder.parent, tmp_path / honest.folder.parent.name)
    folder = run / honest.folder.name
    rows = json.loads(gzip.decompress((folder / left.REQUESTS).read_bytes()))
    rows["node"]["log_unread"] = 5_000_000
    (folder / left.REQUESTS).write_bytes(files.packed(rows)[0])
    found = check.look(honest.one, folder, honest.asked, honest.others, {}).differences
    assert any(
        one.field == "notes.0" and "5,000,000 bytes of the server's log" in one.found for one in found
    ), found


def test_an_invalid_run_cannot_say_that_it_is_measured(allocation: Allocation) -> None:
    """The prefix cache was hit, which the counters say; status and gates are rewritten, and refused by name."""
    honest = allocation["head/c64"]
    assert honest.one.counters is not None
    counters = honest.one.counters.model_copy(update={"prefix_cache_hits": 5})
    found = honest.differences(honest.one.model_copy(update={"counters": counters}))
    assert {"status", "gates.prefix_cache.passed"} <= {one.field for one in found}


def test_figures_of_a_failed_run_are_refused(allocation: Allocation) -> None:
    """A run without a measurement has none."""
    honest = allocation["head/c64"]
    failure = Failure(reason="SERVER_DIED", message="x")
    found = honest.differences(honest.one.model_copy(update={"status": "failed", "failure": failure}))
    assert {"whole.requests_per_s", "whole"} & {one.field for one in found}
    empty = check.refused(honest.one, found)
    assert (empty.status, empty.whole, empty.gates) == ("failed", None, [])
    assert empty.failure is not None
    assert empty.failure.reason == "RECORD_FORGED"
    assert "forged: " in empty.failure.message


def test_what_the_batch_script_wrote_wins(allocation: Allocation) -> None:
    """Another card than the one that was seen outside of the container is refused, also where both arms say it."""
    honest = allocation["head/c64"]
    assert honest.differences(node={"hostname": honest.one.node.hostname}, images={}) == []
    (found,) = honest.differences(node={"gpu_model": "NVIDIA H100"})
    assert str(found) == "node.gpu_model says None, and is NVIDIA H100 outside of the container"
    (found,) = honest.differences(node={"load_image": "vllm/vllm-openai:v1"})
    assert str(found) == "node.load_image says None, and is vllm/vllm-openai:v1 outside of the container"


def test_rounding_of_another_processor_is_no_forgery(allocation: Allocation) -> None:
    """The last digits of sums differ between libraries; a thousandth of the smallest floor does not pass."""
    honest = allocation["head/c64"]
    assert honest.one.whole is not None
    for factor, wrong in ((1 + 1e-9, 0), (1 + 1e-5, 1)):
        rate = honest.one.whole.total_tok_per_s_per_device * factor
        whole = honest.one.whole.model_copy(update={"total_tok_per_s_per_device": rate})
        assert len(honest.differences(honest.one.model_copy(update={"whole": whole}))) == wrong


def test_the_first_run_gives_the_number_of_requests(allocation: Allocation) -> None:
    """A run that measured fewer than the allocation's first is refused, although its own warm-up's rate would allow it."""
    honest = allocation["head/c64"]
    assert honest.asked.agreed == 448
    found = replace(honest, asked=replace(honest.asked, agreed=640)).differences()
    assert {"load.requests", "load.argv.19"} <= {one.field for one in found}


@pytest.mark.parametrize("harm", ["gone", "cut", "damaged", "bomb", "link", "text", "deep", "log"])
def test_raw_files_that_cannot_be_read_are_refused(allocation: Allocation, tmp_path: Path, harm: str) -> None:
    """Whatever a guest leaves in their place is one refused record, in bounded memory, never an error."""
    honest = allocation["head/c64"]
    run = shutil.copytree(honest.folder.parent, tmp_path / honest.folder.parent.name)
    folder = run / honest.folder.name
    file = folder / (left.ITLS if harm != "log" else f"../{left.LOG}")
    content = file.read_bytes()
    file.unlink()
    made = {
        "cut": content[: len(content) // 2],
        "damaged": content[:40] + b"\xff" * 40 + content[80:],
        "bomb": gzip.compress(b'{"itl_us": [[' + b" " * (left.MOST_ITLS + 10)),
        "text": b"nothing",
        "deep": gzip.compress(b"[" * 100_000),
        "log": b"",
    }
    if harm == "link":
        file.symlink_to("/etc/passwd")
    elif harm != "gone":
        file.write_bytes(made[harm])
    (found,) = replace(honest, folder=folder).differences()
    assert found.field == "files"


def test_three_thousand_requests_take_little_time(allocation: Allocation) -> None:
    """A record of the size of a real one; the judge reads four of each point."""
    honest = allocation["head/c108"]
    begin = time.monotonic()
    honest.differences()
    assert (time.monotonic() - begin) * 3000 / honest.asked.point.concurrency / 6 < SECONDS


def test_a_record_beyond_saturation_is_accepted_with_its_note(allocation: Allocation) -> None:
    """Its note follows from the server's own metrics, which are the record's word; without it the record says otherwise."""
    honest = allocation["head/c108"]
    assert honest.one.load is not None
    assert honest.one.counters is not None
    many = honest.one.load.concurrency
    said = ServerWindow(waiting_mean=float(many), kv_use_max=0.99, saturated=True)
    notes = [remark(said, many, honest.one.counters.preemptions)]
    full = honest.one.model_copy(update={"server": said, "notes": [*notes, *honest.one.notes]})
    assert all(notes)
    assert honest.differences(full) == []
    silent = full.model_copy(update={"notes": honest.one.notes})
    assert {one.field.split(".")[0] for one in honest.differences(silent)} == {"notes"}
