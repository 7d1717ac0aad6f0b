"""Gates on a load of the real vLLM's chat endpoint (0.32, CPU, four at once), whose first answer names the role and brings no token."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.utils.node.test_gates import failing, good
from utils.node import gates
from utils.node.looked_at import Evidence
from utils.node.packed import unpacked
from utils.node.requests_raw import RawLoad
from utils.node.vllm.load_result import drawn_lengths

SEED = 1382113771


@pytest.fixture
def chat() -> Evidence:
    """A load of 40 requests, and all else as a good one has it."""
    rows, itls = (
        unpacked((ROOT / "tests/data/chat" / f"{name}.json.gz").read_bytes(), 1_000_000)
        for name in ("requests", "itl")
    )
    raw = RawLoad.of_columns(json.loads(rows), json.loads(itls))
    inputs, outputs = drawn_lengths(128, 64, 40, SEED, 0)
    base = good()
    counters = base.counters.model_copy(
        update={"prompt_tokens": int(raw.input_len.sum()), "generation_tokens": int(raw.output_len.sum())}
    )
    load = base.load.model_copy(update={"seed": SEED})
    first = raw.first_start_s
    return replace(
        base,
        raw=raw,
        load=load,
        drawn_input=inputs,
        drawn_output=outputs,
        chat=True,
        counters=counters,
        call_s=(first - 3, first + raw.duration_s + 1),
        foreign_most=0.2,
    )


def test_a_real_chat_passes_every_gate(chat: Evidence) -> None:
    """Also those that a machine which others use would have only noted; of completions, prompts would be too long and answers too many."""
    assert failing(chat) == []
    assert gates.notes(chat) == []
    assert failing(replace(chat, chat=False)) == ["input_lengths", "chunks"]


def test_a_chat_has_one_answer_without_a_token_and_no_more(chat: Evidence) -> None:
    """Another empty one, or tokens that have none, are as wrong as of a completion."""
    more = [np.concatenate((row[:1], [4], row[1:])) for row in chat.raw.itl_us]
    assert "chunks" in failing(replace(chat, raw=replace(chat.raw, itl_us=more)))
    fewer = [np.concatenate((row[:1], row[1:7].sum(keepdims=True), row[7:])) for row in chat.raw.itl_us]
    unlike = replace(chat, raw=replace(chat.raw, itl_us=fewer))
    assert "chunks" not in failing(unlike)
    assert any("no streamed answer of their own" in note for note in gates.notes(unlike))
    much = [np.concatenate((row[:1], row[1:9].sum(keepdims=True), row[9:])) for row in chat.raw.itl_us]
    assert "chunks" in failing(replace(chat, raw=replace(chat.raw, itl_us=much)))


def test_a_client_that_leaves_the_role_out_is_read_as_well(chat: Evidence) -> None:
    """As that of vLLM 0.33 does."""
    without = replace(chat.raw, itl_us=[row[1:] for row in chat.raw.itl_us])
    assert "chunks" not in failing(replace(chat, raw=without))


def test_a_role_long_before_the_first_token_is_an_empty_first_answer(chat: Evidence) -> None:
    """A server that names the role at once would have nothing for TTFT."""
    raw = chat.raw
    early = [
        np.concatenate((row[:1] + ttft - 2000, row[1:]))
        for row, ttft in zip(raw.itl_us, raw.ttft_us, strict=True)
    ]
    assert "first_token" in failing(
        replace(chat, raw=replace(raw, itl_us=early, ttft_us=raw.ttft_us * 0 + 2000))
    )
