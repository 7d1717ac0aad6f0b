"""The load client's flags; what it leaves is read in `load_result`. Nothing else knows the client.

The client is `vllm bench serve` as of vLLM 0.32 (docs.vllm.ai, "bench serve"). Facts that the flags rest on, read there
and seen: its ready check and its own warm-ups send the first measured prompt, so both are off; its random data set
draws all input lengths, then all output lengths, from numpy's default generator with the seed; it ends with status 0
even when every request failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.protocol import lengths

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

    @property
    def log_name(self) -> str:
        """Of what the client says."""
        return self.result_name.replace(".json", ".log")


def _as_the_server(point: Point) -> list[str]:
    """What the client must do as its server does to have the same tokenizer."""
    flags = point.parts.get("flags", {})
    words = ["--trust-remote-code"] if flags.get("trust-remote-code") is True else []
    mode = flags.get("tokenizer-mode")
    return [*words, "--tokenizer-mode", str(mode)] if mode else words


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
        *_as_the_server(point),
        *("--save-result", "--save-detailed"),
        *("--result-dir", call.result_folder, "--result-filename", call.result_name),
    ]
