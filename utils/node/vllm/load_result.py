"""What the load client leaves: its JSON, and the lengths that its seed must have drawn."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from matrix.errors import Exit
from matrix.protocol import lengths
from utils.node.exceptions import RunFailed
from utils.node.requests_raw import RawLoad

REPORTED = ("total_input_tokens", "total_output_tokens", "mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
DERIVED = ("latencies", "mean_e2el_ms")
"""What clients before 0.30 may not report: latency is then TTFT and the sum of the times between tokens."""
LONGEST_S = 1e7


def draw(longest: int, requests: int, special_tokens: int, generator: np.random.Generator) -> np.ndarray:
    """The lengths that the client draws for a nominal length; special tokens come out of the mean first."""
    wanted = lengths(longest)
    mean = max(0, wanted.mean - special_tokens)
    low = max(1, math.floor(mean * (1 - wanted.ratio)))
    high = max(1, math.ceil(mean * (1 + wanted.ratio)))
    return generator.integers(low, high + 1, size=requests)


def drawn_lengths(
    isl: int, osl: int, requests: int, seed: int, special_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a seed asks for: input and output tokens, request by request."""
    generator = np.random.default_rng(seed)
    prompts = draw(isl, requests, special_tokens, generator)
    return prompts, draw(osl, requests, 0, generator)


def parse(content: bytes, name: str) -> RawLoad:
    """Read the client's detailed result.

    Raises:
        RunFailed: CLIENT_FAILED if it is not such a result, CLIENT_EMPTY if no request completed.
    """
    try:
        result: dict[str, Any] = json.loads(content)
        raw = _raw(result)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunFailed(
            Exit.CLIENT_FAILED, f"the client's {name} is not the detailed result of a known vLLM: {why}"
        ) from error
    if raw.completed == 0:
        evidence = sorted({error.strip().splitlines()[-1][:300] for error in raw.errors if error.strip()})[:4]
        raise RunFailed(
            Exit.CLIENT_EMPTY,
            f"none of {len(raw.errors)} requests completed, although the client ended well",
            evidence,
        )
    return raw


def _raw(result: dict[str, Any]) -> RawLoad:
    starts = np.array(result["start_times"], dtype=float)
    if starts.ndim != 1 or not len(starts):
        raise ValueError("it has no requests")
    derived = [name for name in DERIVED if name not in result]
    if "latencies" in derived:
        result["latencies"] = [
            ttft + sum(itls) for ttft, itls in zip(result["ttfts"], result["itls"], strict=True)
        ]
    columns = [result[name] for name in ("ttfts", "latencies", "input_lens", "output_lens", "itls", "errors")]
    if any(len(column) != len(starts) for column in columns):
        raise ValueError("its columns differ in length")
    if not all(isinstance(row, list) for row in result["itls"]):
        raise ValueError("its itls are no lists")
    if not float(result["duration"]) > 0:
        raise ValueError(f"its duration is {result['duration']}")
    reported = {name: float(result[name]) for name in REPORTED if name not in derived}
    if not all(map(math.isfinite, reported.values())):
        raise ValueError("one of its totals or means is not a number")
    return RawLoad(
        start_us=_microseconds(starts - (starts.min() if len(starts) else 0.0)),
        ttft_us=_microseconds(result["ttfts"]),
        latency_us=_microseconds(result["latencies"]),
        input_len=np.array(result["input_lens"], dtype=np.int64),
        output_len=np.array(result["output_lens"], dtype=np.int64),
        itl_us=[_microseconds(row) for row in result["itls"]],
        errors=[str(error) for error in result["errors"]],
        first_start_s=float(starts.min()) if len(starts) else 0.0,
        duration_s=float(result["duration"]),
        completed=int(result["completed"]),
        failed=int(result["failed"]),
        reported=reported,
        derived=tuple(derived),
    )


def _microseconds(seconds: Any) -> np.ndarray:  # noqa: ANN401 - a list or an array of floats
    values = np.asarray(seconds, dtype=float)
    if not (np.isfinite(values) & (values >= 0) & (values < LONGEST_S)).all():
        raise ValueError("one of its times is negative, infinite, or not a number")
    return np.rint(values * 1e6).astype(np.int64)
