"""Whether a server ran all that it was sent: decided by figures of a record's `server`, said in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.node.record import Record, ServerWindow

WAITING_SHARE = 0.1
"""Of the concurrency: where so many requests wait in the server, it does not run what it is sent."""


def remark(found: ServerWindow | None, concurrency: int, preemptions: int) -> str:
    """What a reader of the figures should know: that a point is beyond saturation, and by what; empty where it is not."""
    if not found or not found.saturated:
        return ""
    why = []
    if found.waiting_mean is not None and found.waiting_mean >= WAITING_SHARE * concurrency:
        why.append(f"of {concurrency} requests {found.waiting_mean:.1f} waited in the server on average")
    if preemptions:
        why.append(f"{preemptions} preemptions")
    if found.kv_use_max is not None:
        why.append(f"KV cache used to {100 * found.kv_use_max:.0f} %")
    return f"beyond saturation: {', '.join(why)}; more at once only wait longer"


def of(one: Record) -> str:
    """The remark of a record, by its own figures."""
    preemptions = one.counters.preemptions if one.counters else 0
    return remark(one.server, one.load.concurrency, preemptions) if one.load else ""
