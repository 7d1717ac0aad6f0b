"""A run over its time: how many requests wait in the queue, have no token yet, and decode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from utils.node.packed import unpacked

if TYPE_CHECKING:
    from pathlib import Path

FILE = "requests.json.gz"
BINS = 60
POINTS = 24
"""Points of a page whose first run is drawn over its time."""
MOST = 20_000_000
"""Bytes of a file that is read."""
MOST_UNPACKED = 64_000_000
"""And of what it unpacks to: some hundred thousand requests."""
KINDS = ("in the queue", "before the first token", "decode")


def rows(folder: Path, queue_s: float | None) -> list[dict[str, Any]]:
    """Rows of the picture; empty where a run left no raw requests.

    Args:
        folder: of the record.
        queue_s: mean time in the server's queue, where the server says it; without it queue and prefill cannot be told apart.
    """
    try:
        path = folder / FILE
        if path.stat().st_size > MOST:
            return []
        raw = json.loads(unpacked(path.read_bytes(), MOST_UNPACKED))
        starts = [one / 1e6 for one in raw["start_us"]]
        firsts = [one / 1e6 for one in raw["ttft_us"]]
        ends = [one / 1e6 for one in raw["latency_us"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not starts:
        return []
    zero = min(starts)
    spans: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for start, first, whole in zip(starts, firsts, ends, strict=False):
        begin, token, end = start - zero, start - zero + first, start - zero + whole
        waits = min(first, queue_s or 0.0)
        spans[KINDS[0]].append((begin, begin + waits))
        spans[KINDS[1]].append((begin + waits, token))
        spans[KINDS[2]].append((token, end))
    last = max(end for _, end in spans[KINDS[2]])
    step = max(last, 1e-9) / BINS
    return [
        {
            "x": round(n * step, 4),
            "y": round(_busy(spans[kind], n * step, (n + 1) * step), 3),
            "kind": kind,
            "order": order,
        }
        for order, kind in enumerate(KINDS)
        if any(end > begin for begin, end in spans[kind])
        for n in range(BINS)
    ]


def _busy(spans: list[tuple[float, float]], low: float, high: float) -> float:
    """Mean number of spans that are open between two moments."""
    return sum(max(0.0, min(end, high) - max(begin, low)) for begin, end in spans) / (high - low)
