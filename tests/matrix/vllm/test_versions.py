"""The table of versions agrees with what each version's real client left and with what the harness asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrix.vllm import refused, versions
from matrix.vllm.vocabulary import Vocabulary
from matrix.vllm.vocabulary import versions as known
from tests.conftest import ROOT

NEEDED = ("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_hits", "request_success")
LEFT = ROOT / "tests/golden/vllm"


def golden(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LEFT / f"bench-{version}.json").read_text())
    return found


@pytest.mark.parametrize("version", known())
def test_a_row_is_what_the_client_left(version: str) -> None:
    """Columns and totals of a real run, neither more nor less."""
    row, left = versions.of(version), golden(version)
    assert row
    assert row.version == version
    assert row.result.columns == sorted(name for name, value in left.items() if isinstance(value, list))
    assert set(row.result.totals) <= set(left)
    assert {f"mean_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el")} <= set(left)
    assert left["completed"] == left["num_prompts"] == 4
    assert left["failed"] == 0


def test_latencies_came_with_0_30() -> None:
    """Before, a request's latency is its TTFT and the sum of its ITLs."""
    having = [version for version in known() if "latencies" in golden(version)]
    assert having == [version for version in known() if version >= "0.30"]


@pytest.mark.parametrize("version", known())
def test_every_version_has_what_the_harness_asks_for(version: str) -> None:
    """Flags of the client, series and paths, as the code names them."""
    words = Vocabulary.of(version).file
    row = versions.of(version)
    assert row
    source = (ROOT / "utils/node/vllm/load.py").read_text()
    asked = {one.split('"')[0] for one in source.split('"--')[1:]}
    assert len(asked) > 15
    assert asked <= set(words.client)
    assert set(NEEDED) <= set(row.series)
    assert {name for name in row.series if name in words.series} == set(row.series)
    assert not {name for name in row.lacks if name in words.series}
    assert {
        row.paths["version"],
        row.paths["tokenize"],
        row.paths["server_info"],
        *row.profiler.paths,
    } <= set(words.routes)
    assert row.profiler.flag in words.flags
    assert row.per_request_metrics is None or row.per_request_metrics in words.flags


def test_the_server_reads_series_by_the_names_of_the_table() -> None:
    """What utils/node/vllm/server.py asks /metrics for is on the wire under that name."""
    row = versions.of("0.32.0")
    assert row
    source = (ROOT / "utils/node/vllm/server.py").read_text()
    assert all(f'"{row.series[name]}"' in source for name in NEEDED)


def test_an_unknown_version_has_no_row() -> None:
    """Nobody has read it."""
    assert versions.of("0.23.0") is None
    assert versions.of("nightly") is None


@pytest.mark.parametrize(
    ("name", "value", "grade"),
    [
        ("disable-log-stats", True, "error"),
        ("disable-log-stats", False, None),
        ("stream-interval", 4, "error"),
        ("stream-interval", 1, None),
        ("uvicorn-log-level", "warning", None),
        ("uvicorn-log-level", "critical", "error"),
        ("enable-lora", True, "note"),
        ("enable-prefix-caching", True, "note"),
        ("enable-prefix-caching", False, None),
        ("kv-transfer-config", {"kv_connector": "X", "kv_role": "kv_producer"}, "error"),
        ("kv-transfer-config", {"kv_connector": "X", "kv_role": "kv_both"}, None),
        ("kv-transfer-config.kv_role", "kv_consumer", "error"),
        ("kv-transfer-config", '{"kv_connector": "X", "kv_role": "kv_producer"}', "error"),
        ("kv-transfer-config", "{", None),
        ("disable-log-stat", True, "error"),
        ("disable-log-stat", False, None),
        ("stream-int", 4, "error"),
        ("enable-prefix", True, None),
        ("compilation-config", {"cache_dir": "/shared"}, "error"),
        ("compilation-config", {"cache_dir": ""}, None),
        ("compilation-config.cache_dir", "/shared", "error"),
        ("speculative-config", {"method": "mtp", "rejection_sample_method": "synthetic"}, "note"),
        ("speculative-config", {"method": "mtp", "rejection_sample_method": "block"}, None),
        ("convert", "embed", "error"),
        ("convert", "none", None),
        ("distributed-executor-backend", "external_launcher", "error"),
        ("distributed-executor-backend", "mp", None),
        ("tokenizer-revision", "abc", "error"),
        ("otlp-traces-endpoint", "http://x:4317", "note"),
        ("data-parallel-rank", 0, "error"),
        ("nnodes", 2, "error"),
        ("nnodes", 1, None),
        ("profiler-config.profiler", "torch", "error"),
        ("block-size", 16, None),
    ],
)
def test_a_flag_that_blinds_is_refused(name: str, value: object, grade: str | None) -> None:
    """By its value, not by its name alone."""
    found = refused.of_flag(name, value)
    assert (found.grade if found else None) == grade


def test_a_variable_that_blinds_is_refused() -> None:
    """The log and the key of the API among them."""
    assert "no key" in str(refused.of_variable("VLLM_API_KEY", "x"))
    assert refused.of_variable("VLLM_LOGGING_LEVEL", "debug") is None
    assert refused.of_variable("VLLM_LOGGING_LEVEL", "error")
    for name in (
        "VLLM_LOGGING_PREFIX",
        "VLLM_DP_SIZE",
        "VLLM_DP_RANK",
        "VLLM_MODEL_REDIRECT_PATH",
        "DG_JIT_CACHE_DIR",
    ):
        assert refused.of_variable(name, "1"), name


def test_a_flag_of_its_own_is_not_short_for_another() -> None:
    """Every name that some vLLM has means itself; what several refused flags begin with, vLLM itself refuses."""
    rows = {row.name for row in refused.rows() if row.kind == "flag"}
    names = {name for version in known() for name in Vocabulary.of(version).file.flags} - rows
    assert not {name for name in names if refused.of_flag(name, value=True)}
    assert refused.of_flag("data-parallel", "x") is None


def test_every_row_is_about_something_that_vllm_has() -> None:
    """In one version at least; variables without VLLM_ are those of drivers and compilers."""
    flags = {name for version in known() for name in Vocabulary.of(version).file.flags}
    env = {name for version in known() for name in Vocabulary.of(version).file.env}
    rows = [row for row in refused.rows() if row.kind == "flag" or row.name.startswith("VLLM_")]
    assert not {row.name for row in rows if row.name not in (flags if row.kind == "flag" else env)}
