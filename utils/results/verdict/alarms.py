"""Where new differences are not like those before: louder or quieter, at once or little by little."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matrix.metrics import JUDGED, METRICS
from utils.results.verdict.pooling import NEEDED, Pool, Scope, class_of
from utils.results.verdict.student import beyond

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.ledger_lines import Difference

ALARM_P = 0.001
"""Of a batch, or of the newest allocations together, that is as unlike the ledger by chance alone; on either side."""
RECENT = 10
"""Allocations that are looked at together, so that many small steps are seen as the large one that they are."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One of them."""

    kind: Literal["louder", "quieter"]
    text: str


def alarms(before: Sequence[Difference], new: Sequence[Difference]) -> list[Alarm]:
    """Of one allocation's new lines: against all before, and with the newest ones before against the older.

    An F test of the mean squares on both sides, a class and metric at a time. Quieter ones are the dangerous ones: they would
    make changes of nothing stand out.
    """
    known = [line for line in before if not line.held]
    found = _unlike(known, new, "")
    recent = list(dict.fromkeys(line.allocation for line in known))[-(RECENT - 1) :]
    newest = [line for line in known if line.allocation in recent]
    older = [line for line in known if line.allocation not in recent]
    if not found and newest:
        found = _unlike(older, [*newest, *new], f" over the last {len(recent) + 1} allocations")
    return found


def _classes(lines: Sequence[Difference]) -> dict[Scope, Pool]:
    found: dict[Scope, Pool] = defaultdict(Pool)
    for line in lines:
        for metric, value in line.values.items():
            if value is not None and metric in JUDGED:
                found[line.device, line.driver, class_of(line.concurrency), metric].add(line, value)
    return found


def _unlike(before: Sequence[Difference], new: Sequence[Difference], span: str) -> list[Alarm]:
    old, batch = _classes(before), _classes(new)
    found = []
    for (device, driver, name, metric), pool in batch.items():
        one = old.get((device, driver, name, metric))
        if one is None or one.df < NEEDED or not one.variance:
            continue
        p = beyond(pool.variance / one.variance, pool.df, one.df)
        if min(p, 1 - p) >= ALARM_P:
            continue
        about = [line for line in new if class_of(line.concurrency) == name and line.device == device]
        nodes, images = ({getattr(line, what) for line in about} for what in ("node", "image"))
        text = (
            f"{METRICS[metric].about} of {name} on {device} varies by {100 * math.sqrt(pool.variance):.2f} % a run{span}, "
            f"and by {100 * math.sqrt(one.variance):.2f} % before ({', '.join(sorted(nodes))}; {', '.join(sorted(images))})"
        )
        found.append(Alarm("louder" if p < ALARM_P else "quieter", text))
    return found
