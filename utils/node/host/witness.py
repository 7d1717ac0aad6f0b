"""What a run's server counted, asked from outside of its container: `python3 -m utils.node.host.witness RUN_FOLDER FILE` asks until it is ended.

The run's own record is written beside the server, by whoever can write there. This one is written where no container reaches. So a run that
invents requests needs a server that counts them, at the time at which they are said to have been answered.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path

from utils.node.host.meter import Sink
from utils.node.host.tools import die_with_parent

PORT = "server.port"
"""In a run's folder: where its server listens, as the run says."""
EVERY_S = 2.0
ANSWER_S = 5.0
LARGEST = 4_000_000
"""Bytes of a page."""
COLUMNS = ("asked_s", "answered_s", "requests", "tokens")
"""On the node's monotonic clock; sums since the server began."""
_COUNTED = {
    name: re.compile(rf"^{name}(?:\{{[^\n]*\}})? ([0-9.]+(?:[eE][-+]?[0-9]+)?)$", re.MULTILINE)
    for name in ("vllm:request_success_total", "vllm:generation_tokens_total")
}


def port_of(folder: Path) -> int | None:
    """Where the run says that its server listens; None before it does. A guest wrote it: no link is followed, no pipe waited for."""
    try:
        file = os.open(folder / PORT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        text = os.read(file, 16).strip() if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)
    number = int(text) if re.fullmatch(rb"[0-9]{1,5}", text) else 0
    return number if 1024 <= number < 65536 else None  # noqa: PLR2004 - what a program without rights may listen on


def page(port: int) -> str:
    """The server's /metrics, within bounds of time and size; empty where it does not answer."""
    end, size = time.monotonic() + ANSWER_S, 0
    parts: list[bytes] = []
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        link.request("GET", "/metrics")
        answer = link.getresponse()
        while answer.status == http.client.OK and time.monotonic() < end and size < LARGEST:
            part = answer.read1(65536)
            if not part:
                return b"".join(parts).decode(errors="replace")
            parts.append(part)
            size += len(part)
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        link.close()
    return ""


def counted(text: str) -> list[int] | None:
    """Requests and tokens so far, over all labels; None where the page does not say both."""
    found = [pattern.findall(text) for pattern in _COUNTED.values()]
    try:
        return [int(sum(map(float, values))) for values in found] if all(found) else None
    except (ValueError, OverflowError):
        return None


def run(folder: Path, path: str) -> int:
    """Ask until a signal ends it."""
    die_with_parent(signal.SIGTERM)
    sink = Sink([path])
    sink.line(",".join(COLUMNS))
    while True:
        port, asked = port_of(folder), time.monotonic()
        found = counted(page(port)) if port else None
        if found:
            sink.line(f"{asked:.3f},{time.monotonic():.3f},{found[0]},{found[1]}")
        time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2]))
