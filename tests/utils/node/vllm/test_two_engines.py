"""Pages of a real vLLM 0.32.0 with two data-parallel engines and two API servers: between warm-up and load, and after 36 of 40 requests."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.conftest import ROOT
from tests.utils.node.test_gates import failing, good
from utils.node import gates
from utils.node.looked_at import Evidence
from utils.node.record import ServerWindow
from utils.node.vllm import engine, server_metrics
from utils.node.vllm.engine import Engine
from utils.node.vllm.server import difference, read_counters
from utils.node.vllm.server_metrics import Looks, Page

BEFORE, LATE = (
    (ROOT / f"tests/golden/vllm/metrics-0.32.0-dp2-{when}.txt").read_text() for when in ("before", "late")
)
COUNTED = re.compile(
    r'^(vllm:\w+(?:_total|_count|_sum|_bucket)\{[^\n]*engine="1"[^\n]*\} )\S+$', re.MULTILINE
)


def window(after: str) -> ServerWindow:
    """What the server says of the load."""
    looks = Looks([(1.0, Page.of(after).without_histograms())])
    return server_metrics.window(
        "0.32.0", Page.of(BEFORE), Page.of(after), looks, server_metrics.Load(4, 60.0, None)
    )


def like(after: str) -> Evidence:
    """A good load, with what such a server says of its engines."""
    return replace(good(), server=window(after).model_copy(update={"queue_s": None}))


def stood_still(page: str) -> str:
    """As if the second engine had done nothing since the warm-up."""
    old = {line.rpartition(" ")[0]: line for line in BEFORE.splitlines()}
    return "".join(
        f"{old.get(line.rpartition(' ')[0], line) if COUNTED.match(line) else line}\n"
        for line in page.splitlines()
    )


def test_figures_are_of_both_engines() -> None:
    """Counters and histograms are summed, who runs is too, and use of the cache is that of the fuller one."""
    found = difference(read_counters(LATE), read_counters(BEFORE))
    assert (found.requests_succeeded, found.prefix_cache_hits, found.preemptions) == (36, 0, 0)
    assert found.generation_tokens == 1292 + 1372 - 249 - 227
    said = window(LATE)
    assert said.engines == {"0": 17, "1": 19}
    assert said.prefill_s
    assert said.decode_s
    assert (said.prefill_s.n, said.decode_s.n) == (36, 36)
    assert said.running_mean == 4.0
    assert said.waiting_mean is not None
    assert said.kv_use_max == pytest.approx(0.00195, abs=1e-5)
    assert said.saturated is False


def test_both_work_and_no_gate_has_a_word() -> None:
    """Nor a note."""
    assert failing(like(LATE)) == []
    assert not [note for note in gates.notes(like(LATE)) if "engine" in note]


def test_one_that_does_nothing_is_seen() -> None:
    """Its counters are those of the warm-up."""
    assert window(stood_still(LATE)).engines == {"0": 17, "1": 0}
    assert failing(like(stood_still(LATE))) == ["every_engine"]


def test_one_that_starves_is_a_note() -> None:
    """Two requests, where the other one had 17."""
    page = re.sub(
        r'(request_success_total\{engine="1",finished_reason="length"[^\n]*\}) \S+',
        r"\1 7.0",
        stood_still(LATE),
    )
    assert window(page).engines == {"0": 17, "1": 2}
    assert failing(like(page)) == []
    assert any(
        "unequal shares: engine 0 finished 17, engine 1 finished 2" in note
        for note in gates.notes(like(page))
    )


@pytest.mark.parametrize("gone", [False, True])
def test_one_that_begins_again_or_is_gone_counts_too_little(gone: bool) -> None:  # noqa: FBT001 - a table's column
    """The sum of both has not gone back; it is less than the client knows, which two gates compare, and nothing is said of engines."""
    page = COUNTED.sub(lambda match: "" if gone else f"{match[1]}0.0", LATE)
    found = difference(read_counters(page), read_counters(BEFORE))
    assert found.requests_succeeded == 36 - 24
    assert min(found.generation_tokens, found.prompt_tokens) > 0
    said = window(page)
    assert (said.engines, said.prefill_s, said.decode_s) == (None, None, None)
    first, now = (Engine({}, None, read_counters(text)) for text in (BEFORE, page))
    assert engine.changes(first, first, now) == []
    assert engine.changes(first, first, now, 36) == ["12 requests were counted, and 36 were answered"]
