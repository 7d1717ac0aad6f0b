"""The one place that knows the load client: its flags, and the JSON that it leaves.

The client is `vllm bench serve` as of vLLM 0.32 (docs.vllm.ai, "bench serve"). Facts that the flags rest on, read there
and seen: its ready check and its own warm-ups send the first measured prompt, so both are off; its random data set
draws all input lengths, then all output lengths, from numpy's default generator with the seed; it ends with status 0
even when every request failed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matrix.errors import Exit
from matrix.protocol import lengths
from utils.node.failure import RunFailed
from utils.node.requests_raw import RawLoad

if TYPE_CHECKING:
    from matrix.plan import Point

PERCENTILES = "50,90,95,99"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the client."""

    point: Point
    model: str
    """As the server knows it, which is also where the tokenizer is."""
    port: int
    requests: int
    seed: int
    result_folder: str
    result_name: str


def argv(call: Call) -> list[str]:
    """The arguments of `vllm` for one call of the client."""
    point = call.point
    prompt, output = lengths(point.isl), lengths(point.osl)
    ratios = json.dumps({"input": prompt.ratio, "output": output.ratio})
    backend = ["openai-chat", "--endpoint", "/v1/chat/completions"] if point.chat_template else ["vllm"]
    return [
        *("bench", "serve", "--backend", *backend),
        *("--host", "127.0.0.1", "--port", str(call.port), "--model", call.model),
        *("--dataset-name", "random", "--random-input-len", str(prompt.mean)),
        *("--random-output-len", str(output.mean), "--random-range-ratio", ratios),
        *("--num-prompts", str(call.requests), "--max-concurrency", str(point.concurrency)),
        *("--request-rate", "inf", "--ignore-eos", "--temperature", "0", "--seed", str(call.seed)),
        *("--ready-check-timeout-sec", "0", "--num-warmups", "0"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", PERCENTILES),
        *("--save-result", "--save-detailed"),
        *("--result-dir", call.result_folder, "--result-filename", call.result_name),
    ]


def draw(longest: int, requests: int, special_tokens: int, generator: np.random.Generator) -> np.ndarray:
    """The lengths that the client draws for a nominal length; special tokens come out of the mean first."""
    wanted = lengths(longest)
    mean = max(0, wanted.mean - special_tokens)
    low = max(1, math.floor(mean * (1 - wanted.ratio)))
    high = max(1, math.ceil(mean * (1 + wanted.ratio)))
    return generator.integers(low, high + 1, size=requests)


def drawn_lengths(isl: int, osl: int, requests: int, seed: int, special_tokens: int) -> tuple[np.ndarray, np.ndarray]:
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
        raise RunFailed(Exit.CLIENT_FAILED, f"the client's {name} is not the detailed result of a known vLLM: {why}") from error
    if raw.completed == 0:
        evidence = sorted({error.strip().splitlines()[-1][:300] for error in raw.errors if error.strip()})[:4]
        raise RunFailed(Exit.CLIENT_EMPTY, f"none of {len(raw.errors)} requests completed, although the client ended well", evidence)
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
            for name in ("total_input_tokens", "total_output_tokens", "mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")
        },
    )


def _microseconds(seconds: Any) -> np.ndarray:  # noqa: ANN401 - a list or an array of floats
    return np.rint(np.asarray(seconds, dtype=float) * 1e6).astype(np.int64)
