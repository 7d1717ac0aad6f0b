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
    r"JIT compilation during inference[^\n]{0,80}",
    r"torch\.compile (?:takes|took) [\d.]+ s",
    r"Compiling a graph for .*",
    r"\[aiter\] (?:(?:finish|start) )?build \[[^\]]+\](?:, cost [\d.]+ ?s)?",  # AITER, at the first use of a shape
    r"\[aiter\] waiting for baton[^\n]{0,60}",  # another rank builds
    r"flashinfer\.jit: (?:Building|Compiling|Loading) JIT ops?: \S+",
    r"TileLang\b[^\n]{0,20}\bcompil(?:e|es|ing) kernel [^\n]*",
    r"DeepGEMM\b[^\n]{0,40}\bJIT\b[^\n]{0,40}",
    r"Autotuning process starts",
    r"\bAUTOTUNE \w+\(",
    r"Triton autotuning for function \S+[^\n]*",
    r"Capturing CUDA graphs?\b[^\n]{0,60}",
    r"Graph capturing finished[^\n]{0,40}",
)
"""What those who compile write into the server's log when they do."""
JIT = re.compile("|".join(COMPILERS), re.IGNORECASE)
