"""The raw requests, compared with what the server counted when it was asked from outside of the container (utils/node/host/witness.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.results.recompute.left import bounded
from utils.results.recompute.same import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from utils.node.requests_raw import RawLoad

MOST = 8_000_000
"""Bytes of samples: some days of a run."""
LAG_S = 1.0
"""A server counts a request a moment after its last token is on the way."""
UNSEEN_S = 30.0
"""A load that is longer than that is seen at least once; a page that does not come takes 5 s."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer of the server."""

    asked_s: float
    answered_s: float
    requests: int
    tokens: int


def file_of(point: Path) -> Path:
    """Where the batch script leaves the samples of a point's run: beside the run's folder, which is all that the container reaches."""
    return point.parent.with_name(f"{point.parent.name}.metrics.csv")


def read(path: Path) -> list[Seen] | None:
    """All samples in order; None where no batch script wrote any, as of a launcher without one.

    Raises:
        ValueError: too large, or not what it should be; also as OSError.
    """
    try:
        content = bounded(path, MOST)
    except FileNotFoundError:
        return None
    whole = content[: content.rfind(b"\n") + 1].decode().splitlines()[1:]  # the last line can be cut
    rows = [line.split(",") for line in whole]
    return [Seen(float(a), float(b), int(n), int(tokens)) for a, b, n, tokens in rows]


def differences(raw: RawLoad, seen: Sequence[Seen] | None) -> Iterator[Difference]:
    """Where more was answered than the server had counted: no request can have ended before its server made its tokens.

    Args:
        raw: the load, as the run left it.
        seen: samples from outside; None where nobody asked.
    """
    if seen is None:
        return
    begin, end = raw.first_start_s, raw.first_start_s + raw.duration_s
    before = [one for one in seen if one.answered_s <= begin]
    later = [one for one in seen if one.answered_s > begin]
    if not any(one.asked_s <= end for one in later):
        if raw.duration_s > UNSEEN_S:
            yield Difference(
                "counters", f"a load of {raw.duration_s:.0f} s", "of a server that answered nobody outside"
            )
        return
    first = before[-1] if before else later[0]
    started, ended = begin + raw.start_us / 1e6, begin + raw.end_us / 1e6
    for one in later:
        mine = raw.ok & (ended <= one.asked_s - LAG_S)
        if not before:  # what ran at the first look was counted in part already
            mine &= started >= first.answered_s
        for name, said, found in (
            ("requests_succeeded", int(mine.sum()), one.requests - first.requests),
            ("generation_tokens", int(raw.output_len[mine].sum()), one.tokens - first.tokens),
        ):
            if said > found:
                at = (
                    f"{one.asked_s - begin:.1f} s after the load's start, asked from outside of the container"
                )
                yield Difference(f"counters.{name}", f"at least {said}", f"{found} {at}")
                return
        if one.asked_s > end + LAG_S:
            return
