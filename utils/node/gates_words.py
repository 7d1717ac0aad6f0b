"""Words of a server's log that gates look for."""

from __future__ import annotations

import re

TROUBLE = re.compile(
    r"Traceback \(most recent call last\)|EngineDeadError|Fatal Python error|Segmentation fault|core dumped|"
    r"^(?:\([^)\n]*\) )?(?:ERROR|CRITICAL|FATAL)\b[^\n]*|"
    r"[^\n]*\b(?:re-?start|re-?spawn|re-?launch|re-?boot|re-?initiali[sz])(?:s|ed|ing)?\b[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
"""Words in a server's log after which figures are not of an engine that ran well."""
COMPILERS = (
    r"during inference: .*latency spike",  # vLLM's own monitor
    r"torch\.compile takes [\d.]+ s",
    r"Compiling a graph for .*",
    r"\[aiter\] (?:finish|start) build \[[^\]]+\](?:, cost [\d.]+ ?s)?",  # AITER, at the first use of a shape
    r"flashinfer\.jit: (?:Building|Compiling|Loading) JIT ops?: \S+",
    r"TileLang (?:begins|completes) to compile kernel [^\n]*",
    r"Triton autotuning for function \S+[^\n]*",
    r"Capturing CUDA graphs?\b[^\n]{0,60}",
)
"""What those who compile write into the server's log when they do."""
JIT = re.compile("|".join(COMPILERS), re.IGNORECASE)
