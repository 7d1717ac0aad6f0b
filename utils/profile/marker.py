"""What a kernel's marker counted, beside a trace: steps by number of tokens, and routes, where it tells them.

The answer is that of `utils/node/marker.py`; `routed` and `local_experts` are fields that a kernel may leave out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.node.kernel_counts import Marker
from utils.profile.source import unreadable

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Told:
    """The part of a marker's answer that a profile shows."""

    taken: dict[int, int]
    """Steps on the kernel's path, by number of tokens."""
    fallback: int
    """Steps on the engine's own path."""
    routes: float | None
    """Local ones, a step and layer."""
    rows: float | None
    """Of the same, an expert."""

    def words(self) -> str:
        """In one line."""
        steps = sum(self.taken.values())
        sizes = f" of {min(self.taken)} to {max(self.taken)} tokens" if self.taken else ""
        counted = f"{steps:,} steps{sizes} on the kernel's path, {self.fallback:,} on the engine's own"
        if self.routes is None:
            return f"{counted}; it does not count local routes"
        rows = "" if self.rows is None else f", {self.rows:.2f} rows an expert"
        return f"{counted}; {self.routes:,.1f} local routes a step and layer{rows}"


def read(path: Path) -> Told:
    """An answer's file.

    Raises:
        HarnessError: it is none.
    """
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(MOST_BYTES))
        return _told(body)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(path, f"is not an answer of a kernel's marker ({error!r})") from error


def _told(body: dict[str, Any]) -> Told:
    answer = Marker.model_validate({name: value for name, value in body.items() if name != "schema"})
    if answer.error:
        raise ValueError(answer.error)
    steps = sum(answer.taken.values())
    routes = sum(one.local for one in answer.routed.values())
    each = routes / (steps * answer.layers.gated) if answer.routed and steps and answer.layers.gated else None
    rows = each / answer.local_experts if each is not None and answer.local_experts else None
    return Told(answer.taken, sum(answer.fallback.values()), each, rows)
