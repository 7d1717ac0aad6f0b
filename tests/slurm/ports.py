"""Ports that belong to one test process as long as it lives."""

from __future__ import annotations

import contextlib
import random
import socket

BELOW = 32768
"""Where Linux's own choices begin (net.ipv4.ip_local_port_range), so that no connection of anybody gets one of these."""
ABOVE = 20000
_held: list[int] = []
"""Open names that keep other test processes from the same ports."""


def own(count: int) -> list[int]:
    """Ports that nobody listens on and that no other caller of this function gets while this process lives."""
    found: list[int] = []
    for port in random.sample(range(ABOVE, BELOW), BELOW - ABOVE):
        if len(found) == count:
            break
        if _is_free(port) and _lock(port):
            found.append(port)
    assert len(found) == count, f"no {count} free ports between {ABOVE} and {BELOW}"
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("", port))
            return True
    return False


def _lock(port: int) -> bool:
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0servematrix-test-port-{port}")  # a name in the kernel alone, gone with the process
    except OSError:
        lock.close()
        return False
    _held.append(lock.detach())
    return True
