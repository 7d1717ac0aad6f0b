"""How far the harness itself can be believed: its false alarms, and noise by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from matrix.metrics import METRICS
from utils.report.page import Section
from utils.results.verdict import ledger as ledgers
from utils.results.verdict.compare import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.verdict.ledger import Ledger

MOST = 100
"""Allocations of something against itself that are judged again, the newest."""
LOUD = ("regression", "improvement")


def false_alarms(records: Sequence[Record], ledger: Ledger) -> tuple[int, int]:
    """Of comparisons of something with itself, figures that one block alone would call a change, and figures that were judged.

    Args:
        records: of any allocations; those count whose base and head have the same keys.
        ledger: what noise is; an allocation is not judged by its own lines.
    """
    by_allocation: dict[str, list[Record]] = {}
    for one in records:
        if one.block == 1:
            by_allocation.setdefault(one.allocation, []).append(one)
    alarms = judged = 0
    for ones in list(by_allocation.values())[-MOST:]:
        sides = [[one for one in ones if one.arm == arm] for arm in ("base", "head")]
        keys = [{(one.point, one.key) for one in side} for side in sides]
        if not sides[0] or keys[0] != keys[1]:
            continue
        try:
            found = compare(sides[0], sides[1], ledger, confirmation=False)
        except HarnessError:
            continue
        words = [one.word for point in found.points for one in point.metrics.values()]
        alarms += sum(word in LOUD for word in words)
        judged += sum(word not in {None, "invalid"} for word in words)
    return alarms, judged


def trust(
    records: Sequence[Record],
    ledger: Ledger,
    quarantine: Sequence[Sequence[str]] | None,
    quarantine_words: str = "",
) -> list[Section]:
    """Sections of the dashboard."""
    alarms, judged = false_alarms(records, ledger)
    words = (
        f"{alarms} of {judged} figures of something against itself would be called a change by one block ({100 * alarms / judged:.1f} %); a second block confirms before anything is said."
        if judged
        else ""
    )
    noise = _noise(ledger)
    nodes = (
        {"heads": ["node", "until", "cause"], "lines": [list(one) for one in quarantine], "numbers": ()}
        if quarantine
        else None
    )
    return [
        Section("False alarms of the harness", words, empty="" if judged else "Nothing was measured against itself with a ledger that can judge it."),
        Section("Noise by class", "Standard deviation of one run.", table=noise, empty="" if noise else "The ledger has no differences."),
        Section("Quarantine", quarantine_words if quarantine is not None else "", table=nodes, empty="" if quarantine else "No node is in quarantine." if quarantine is not None else quarantine_words or "The quarantine was not given: --quarantine DIR."),
    ]  # fmt: skip


def _noise(ledger: Ledger) -> dict[str, object] | None:
    squares: dict[tuple[str, str, str], list[float]] = {}
    for line in ledger.differences:
        if not line.held:
            for metric, value in line.values.items():
                if value is not None and metric in METRICS:
                    squares.setdefault((line.device, ledgers.class_of(line.concurrency), metric), []).append(
                        value**2
                    )
    lines = [
        [
            device,
            name,
            METRICS[metric].about,
            f"{100 * math.sqrt(sum(found) / len(found) / 2):.2f} %",
            str(len(found)),
        ]
        for (device, name, metric), found in sorted(squares.items())
    ]
    heads = ["device", "class", "metric", "noise of a run", "differences"]
    return {"heads": heads, "lines": lines, "numbers": (3, 4)} if lines else None
