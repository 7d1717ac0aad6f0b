"""Before anything is measured: what a number of runs can see, by the same rule that will judge it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from utils.results.verdict import evidence, families, metrics, seen, shared_luck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.spread import Spread

RUNS = (2, 4, 8)
"""Of an arm: the design is B H H B, and that again."""
CAUSES = 2
"""Speed and time to the first token."""


def smallest_seen(spread: Spread, floor: float, runs: int, jobs: Sequence[int]) -> float | None:
    """The smallest change of one point that is found four times in five, as a share; None where none up to 100 % is.

    Args:
        spread: what the ledger says of the point; without it nothing can be said beforehand.
        floor: below which nothing is called a change, as a share.
        runs: of an arm.
        jobs: how many points each job has, that of the point first.
    """
    if not spread.sd > 0:
        return None
    free = max(2 * runs - 2, 1)
    point_df = spread.scatter + spread.ratio_df + free
    common = shared_luck.Share(spread.share or 0.0, spread.share_cells)
    own = shared_luck.effective(jobs, common.high) * free
    first, last = (
        1 / (1 / (spread.df + own + more) + 1 / point_df) for more in (0.0, own * jobs[0] / sum(jobs))
    )
    beside = jobs[0] >= shared_luck.LEAST
    varies = own / (spread.df + own) ** 2 + free / point_df**2
    tests = sum(jobs) * CAUSES * (2 if beside else 1)
    error = math.sqrt(spread.drawn * 2 / runs)
    found = seen.smallest(
        seen.Rule(
            first_p=families.FIRST_P,
            last_p=families.WORDS / tests,
            first_df=first,
            last_df=last,
            beside_df=1
            / (1 / (evidence.RELATIVE_DF + shared_luck.effective(jobs, 0.0) * free) + 1 / point_df),
            own_df=1 / varies,
            ratio=_beside(common.value, jobs[0]) if beside else 1.0,
            floor=math.log1p(floor) / error,
        )
    )
    share = metrics.percent(found * error) / 100 if not math.isnan(found) else math.inf
    return share if share <= 1 else None


def _beside(share: float, points: int) -> float:
    """Standard deviation of what is left of a point beside the others of its server, over its own."""
    median = share + shared_luck.of_median(points - 1) * (1 - share)
    return math.sqrt(max(1 - share * share / median, 0.05)) if median else 1.0
