"""One line for a change."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from scipy import special

from matrix.metrics import HEADLINE
from utils.results.verdict import metrics
from utils.results.verdict.comparison import Headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict import judge as verdict
    from utils.results.verdict.comparison import PointVerdict


def headline(
    points: Sequence[PointVerdict],
    samples: dict[tuple[str, str], verdict.Sample],
    jobs: dict[str, str],
) -> Headline:
    """Mean log ratio of throughput; points of one job share their servers, so that their errors add up instead of averaging out."""
    judged = {point: sample for (point, metric), sample in samples.items() if metric == HEADLINE}
    effect = fmean(sample.first.effect for sample in judged.values()) if judged else None
    known = bool(judged) and all(sample.spread.calibration != "none" for sample in judged.values())
    low = high = None
    if effect is not None and known:
        errors: dict[str, float] = {}
        for point, sample in judged.items():
            errors[jobs[point]] = errors.get(jobs[point], 0.0) + sample.spread.sd * sample.first.scale
        error = math.sqrt(sum(value**2 for value in errors.values())) / len(judged)
        df = min(sample.spread.df for sample in judged.values())
        half = float(special.stdtrit(df, 0.975)) * error
        low, high = metrics.percent(effect - half), metrics.percent(effect + half)
    mean = None if effect is None else metrics.percent(effect)
    return Headline(
        percent=mean,
        low_percent=low,
        high_percent=high,
        points=len(judged),
        jobs=len({jobs[point] for point in judged}),
        text=_headline_text(points, mean, low, high, len(judged)),
    )


def _headline_text(
    points: Sequence[PointVerdict], mean: float | None, low: float | None, high: float | None, n: int
) -> str:
    counts = dict.fromkeys(("regression", "improvement", "invalid"), 0)
    waiting = silent = 0
    for one in points:
        words = {metric.word for metric in one.metrics.values()}
        for word in counts:
            counts[word] += word in words
        waits = any(metric.flagged and metric.word is None for metric in one.metrics.values())
        waiting += waits
        silent += words == {None} and not waits
    said = [f"{word} in {count} of {len(points)} points" for word, count in counts.items() if count]
    if waiting:
        said.append(f"{waiting} points are flagged and wait for their confirmation")
    quiet = sum("no change seen" in {m.word for m in one.metrics.values()} for one in points)
    if points and silent == len(points):
        reasons = {metric.why for one in points for metric in one.metrics.values()}
        said.append(f"no verdict: {reasons.pop() if len(reasons) == 1 else 'the noise is not known here'}")
    elif points and not said:
        said.append(f"no change seen in {quiet} points")
    if 0 < silent < len(points):
        said.append(f"no word for {silent} points")
    if mean is not None:
        interval = f" ({low:+.1f} to {high:+.1f})" if low is not None and high is not None else ""
        said.append(f"throughput {mean:+.1f} %{interval} over {n} points")
    return "; ".join(said) or "nothing to compare"
