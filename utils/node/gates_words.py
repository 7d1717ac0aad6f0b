"""Words of a server's log that gates look for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEFORE = r"^(?:\x1b\[[\d;]*m|\([^)\n]*\)|[ \t\[\]\d:.,/-])*"
"""Colours, a process's name and the time, which may stand before a line's level."""
_TROUBLES = (
    r"Traceback \(most recent call last\)|EngineDeadError|Fatal Python error|Segmentation fault|core dumped",
    rf"{_BEFORE}(?-i:ERROR|CRITICAL|FATAL)\b[^\n]*",
    rf"{_BEFORE}(?:error|fatal|panic)\b ?:[^\n]*",
    r"^[^\n]* [-|] (?-i:ERROR|CRITICAL|FATAL) [-|] [^\n]*",
    rf"{_BEFORE}(?:\w+\.)*\w*(?:Error|Exception|Interrupt): [^\n]*",  # Python's last line of what was raised
    r"^[^\n]*Exception in thread[^\n]*|^Process \S+:$|^[^\n]*never retrieved\b",
    r"^[^\n]*\[[EF]\d{4} \d\d:\d\d[^\n]*|^[EF]\d{4} \d\d:\d\d[^\n]*",  # C++'s, of torch and of NCCL's watchdog
    r"^[^\n]*terminate called\b[^\n]*|^(?:Bus error|Aborted|Killed)\b|^[^\n]*(?:invalid pointer|double free|corrupted size)\b[^\n]*",
    r"^[^\n]*(?:Memory access fault by GPU|GPU hang|HSA_STATUS_ERROR|(?:CUDA|HIP) error:)[^\n]*",
    r"^[^\n]*\bdied unexpectedly\b[^\n]*|^[^\n]*\bpanicked at\b[^\n]*",
    r"^[^\n]*\b(?:re-?start|re-?spawn|re-?launch|re-?boot|re-?initiali[sz])(?:s|ed|ing)?\b[^\n]*",
    r"^[^\n]*(?:Initializing a V1 LLM engine|Started server process|Application startup complete)[^\n]*",  # again
)
TROUBLE = re.compile("|".join(_TROUBLES), re.IGNORECASE | re.MULTILINE)
"""Words in a server's log after which figures are not of an engine that ran well. Anchored: a line of many letters takes no longer than it must."""
_SERVED = " 200 OK"
"""How the line of a request that was answered ends: most of a load's log."""


def trouble(log: str) -> str:
    """The first line that says so; empty where none does."""
    lines = (line for line in log.splitlines() if not line.endswith(_SERVED))
    return next((line.strip() for line in lines if TROUBLE.search(line)), "")


COMPILERS = (
    r"during inference: .*latency spike",  # the engine's own monitor
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


def compilation(log: str, files: Sequence[str]) -> str:
    """What was compiled, by a log or by files that are new in the caches; how long it took, if anything says so; empty for nothing."""
    found = [match[0] for match in JIT.finditer(log)] + [f"{name}, new in its cache" for name in files]
    told = next((line for line in found if re.search(r"[\d.]+ ?s\b", line)), found[0] if found else "")
    return f"found {told[:120]!r}" if found else ""
