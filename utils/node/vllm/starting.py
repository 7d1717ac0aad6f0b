"""What a start is doing, from the words of vLLM's log: the last line that says so counts."""

from __future__ import annotations

import re

STAGES = (
    ("reading the configuration", r"non-default args|Resolved architecture"),
    ("starting the engine", r"Initializing a V1 LLM engine"),
    ("connecting the workers", r"distributed_init_method|is using nccl"),
    (
        "loading weights",
        r"Starting to load model|Loading model|Loading (safetensors|pt) checkpoint shards|Loading weights",
    ),
    ("preparing kernels", r"Model loading took|JIT module|\[aiter\]|Tuning|autotun"),
    (
        "compiling",
        r"Dynamo bytecode|Compiling a graph|torch\.compile (takes|took)|Directly load the compiled graph",
    ),
    ("making the KV cache", r"KV cache (size|memory)|Available KV cache|for KV cache"),
    (
        "capturing graphs",
        r"Capturing CUDA graph|Capturing HIP graph|Graph capturing|cudagraph enabled|CUDA graph enabled",
    ),
    ("opening the port", r"init engine|Starting vLLM|Available routes"),
)
"""What a person reads, and vLLM's words for it (0.24 to 0.32, from its logs on CPU and on H100)."""
_PATTERNS = [(name, re.compile(words)) for name, words in STAGES]
_DETAIL = re.compile(r"JIT module (\w+)|\| (\d+/\d+)")


def stage(log: str) -> str:
    """The stage that the log's last known words belong to, with its progress or what is being built; empty before the first."""
    for line in reversed(re.split(r"[\r\n]+", log)):
        for name, words in _PATTERNS:
            if words.search(line):
                details = [built or done for built, done in _DETAIL.findall(line)]
                return f"{name} ({details[-1]})" if details else name
    return ""
