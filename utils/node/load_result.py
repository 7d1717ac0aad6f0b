"""What the load client leaves: its JSON, and the lengths that its seed must have drawn."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from matrix.errors import Exit
from matrix.protocol import lengths
from utils.node.failure import RunFailed
from utils.node.requests_raw import RawLoad


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
    columns = [result[name] for name in ("ttfts", "latencies", "input_lens", "output_lens", "itls", "errors")]
    if any(len(column) != len(starts) for column in columns):
        raise ValueError("its columns differ in length")
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
        reported={
            name: float(result[name])
            for name in (
                "total_input_tokens",
                "total_output_tokens",
                "mean_ttft_ms",
                "mean_tpot_ms",
                "mean_e2el_ms",
            )
        },
    )


def _microseconds(seconds: Any) -> np.ndarray:  # noqa: ANN401 - a list or an array of floats
    return np.rint(np.asarray(seconds, dtype=float) * 1e6).astype(np.int64)
