"""Failures of a run, with the exit code and the lines that show the cause."""

from __future__ import annotations

import re

from matrix.errors import Exit, HarnessError

DECISIVE_LINES = 6
_PREFIX = r"(\([^)]*\) )?((ERROR|CRITICAL|FATAL|INFO|WARNING) [^\[]*\[[^\]]*\] )?"
_CAUSE = re.compile(
    _PREFIX
    + r"([A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b.*|\[enforce fail at .*|\S.*\b(died|killed|fatal|failed|not found|cannot|error:).*)",
    re.IGNORECASE,
)
_MACHINE = re.compile(
    r"Memory access fault by GPU|GPU hang|HW Exception by GPU|HSA_STATUS_ERROR_\w+|hipError\w+|HIP error:|"
    r"CUDA error:|illegal memory access|\bXid\b|uncorrectable ECC|Watchdog caught collective operation timeout|"
    r"NCCL (WARN|error)|RCCL error|Segmentation fault|Segfault encountered|Bus error|oom-kill|Out of memory: Killed",
    re.IGNORECASE,
)
"""Words of ROCm, CUDA, their collectives and the kernel, which say what happened before any process says that it died."""
_NOISE = re.compile(
    r"See (stack trace|root cause)|Dumping |WARNING|encountered (a fatal|an) |^INFO|\braise \w|^\s|\] {2,}\S|\bframe #\d+|ld\.so: object .* ignored|"
    r"NCCL WARN (NUMA auto balancing|Missing \"(iommu|HSA_FORCE_FINE_GRAIN))"
)
"""Also what RCCL advises at each start, each rank for itself."""
_RAISED = re.compile(r"(\([^)]*\) )?((ERROR|CRITICAL|FATAL) [^\[]*\[[^\]]*\] )?([a-z_]\w*\.)+[A-Z]\w*: \S")
"""Python's last line of what was raised, where the name does not say that it is an error, such as triton's OutOfResources."""


class RunFailed(HarnessError):  # noqa: N818 - reads as what happened
    """A run or a point that could not be measured."""

    def __init__(self, exit_code: Exit, message: str, evidence: list[str] | None = None) -> None:
        super().__init__(exit_code, message)
        self.evidence = evidence or []

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  | {line}" for line in self.evidence)])


class Cancelled(BaseException):
    """A signal that ends a run arrived. Not an Exception, so that no handler of errors swallows it."""


def _kind(line: str) -> str:
    """A line without its numbers: eight ranks say one thing eight times."""
    return re.sub(r"0x[0-9a-f]+|\d+", "0", line)


def decisive_lines(log: str, most: int = DECISIVE_LINES) -> list[str]:
    """The lines of a server's log that say why it ended: what the GPU's own software says first, then named errors, nearest to the end; else its last lines.

    Process prefixes such as `(EngineCore pid=12)` stay, since they say who failed; stack frames do not.
    """
    lines = [line.rstrip()[:300] for line in log.splitlines() if line.strip()]
    told = [line for line in lines if not _NOISE.search(line)]
    causes = [line for line in told if _CAUSE.search(line) or _RAISED.match(line)]
    machine: dict[str, str] = {}
    for line in told:
        if _MACHINE.search(line):
            machine.setdefault(_kind(line), line)
    first = list(machine.values())[:most]
    rest = [line for line in dict.fromkeys(causes) if line not in first]
    kept = rest[-(most - len(first)) :] if len(first) < most else []
    return [*first, *kept] or lines[-most:]
