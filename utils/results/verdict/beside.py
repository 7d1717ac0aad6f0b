"""Figures beside the judged ones, such as power: shown with their own noise, open to claims, and no word is said of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matrix.metrics import JUDGED, METRICS, WITH_NOISE
from utils.results.verdict import judge as verdict
from utils.results.verdict import matching, metrics, student
from utils.results.verdict.ledger import Ledger, day_of, device_of
from utils.results.verdict.metrics import geometric_mean
from utils.results.verdict.outcome import MetricVerdict

if TYPE_CHECKING:
    from utils.results.verdict.matching import Pair

NOT_JUDGED = "shown, not judged"


def beside(pair: Pair, ledger: Ledger) -> dict[str, MetricVerdict]:
    """Every figure that has noise and no word, of a point's first block; empty where a run lacks it."""
    some = pair.first.head[0]
    odd = matching.unfit(pair.first)
    found: dict[str, MetricVerdict] = {}
    for name in WITH_NOISE:
        sides = [
            tuple(value for record in side if (value := metrics.judged(record, name)) is not None)
            for side in (pair.first.base, pair.first.head)
        ]
        whole = [len(pair.first.base), len(pair.first.head)]
        if name in JUDGED or [len(side) for side in sides] != whole or not all(sides):
            continue
        block = verdict.Block(sides[0], sides[1])
        concurrency = some.load.concurrency if some.load else 1
        spread = ledger.spread(
            device_of(some),
            some.node.driver or "",
            pair.point,
            concurrency,
            name,
            recipe=some.recipe,
            model=some.model,
            day=day_of(some),
        )
        known = spread.calibration != "none" and not odd
        sd = math.sqrt(spread.drawn) if known else math.nan
        error = sd * block.scale
        half = student.quantile(0.975, spread.df) * error if known else 0.0
        unknown = odd or "the ledger knows nothing of its noise"
        found[name] = MetricVerdict(
            base=METRICS[name].scale * geometric_mean(block.base),
            head=METRICS[name].scale * geometric_mean(block.head),
            percent=metrics.percent(block.effect),
            low_percent=metrics.percent(block.effect - half) if known else None,
            high_percent=metrics.percent(block.effect + half) if known else None,
            runs=(whole[0], whole[1]),
            df=int(spread.df),
            calibration=spread.calibration if known else "none",
            spread_percent=100 * sd if known else None,
            floor_percent=0.0,
            p=None,
            could_see_percent=None,
            flagged=False,
            word=None,
            why=NOT_JUDGED if known else unknown,
        )
    return found
