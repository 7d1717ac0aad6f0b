"""Failures of a run, with the exit code and the lines that show the cause."""

from __future__ import annotations

import re

from matrix.errors import Exit, HarnessError

DECISIVE_LINES = 6
_PREFIX = r"(\([^)]*\) )?((ERROR|CRITICAL|FATAL|INFO|WARNING) [^\[]*\[[^\]]*\] )?"
_CAUSE = re.compile(
    _PREFIX
    + r"([A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b.*|\S.*\b(died|killed|fatal|failed|not found|cannot|error:).*)",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"See (stack trace|root cause)|Dumping |WARNING|encountered (a fatal|an) |^INFO|\braise \w|^\s|\] {2,}\S"
)


class RunFailed(HarnessError):  # noqa: N818 - reads as what happened
    """A run or a point that could not be measured."""

    def __init__(self, exit_code: Exit, message: str, evidence: list[str] | None = None) -> None:
        super().__init__(exit_code, message)
        self.evidence = evidence or []

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  | {line}" for line in self.evidence)])


class Cancelled(BaseException):
    """SIGINT or SIGTERM arrived. Not an Exception, so that no handler of errors swallows it."""


def decisive_lines(log: str, most: int = DECISIVE_LINES) -> list[str]:
    """The lines of a server's log that tell why it ended: named errors, nearest to the end, else its last lines.

    Process prefixes such as `(EngineCore pid=12)` stay, since they tell who failed; stack frames do not.
    """
    lines = [line.rstrip()[:300] for line in log.splitlines() if line.strip()]
    causes = [line for line in lines if _CAUSE.search(line) and not _NOISE.search(line)]
    unique = list(dict.fromkeys(causes))
    return unique[-most:] or lines[-most:]
