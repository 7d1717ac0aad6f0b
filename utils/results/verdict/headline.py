"""One line for a change, and one sentence for what could have been seen."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE, METRICS, percent
from utils.results.verdict import metrics
from utils.results.verdict.families import cause_of
from utils.results.verdict.first_look import jobs_of
from utils.results.verdict.outcome import CauseVerdict, Headline, MeanVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.outcome import NoiseVerdict, PointVerdict, Word
    from utils.results.verdict.sample import Judgement

CHANGES: tuple[Word, ...] = ("regression", "improvement")


def headline(points: Sequence[PointVerdict], judgement: Judgement, noise: Sequence[NoiseVerdict]) -> Headline:
    """Mean log ratio of throughput over the points that can be judged, and its own word."""
    found = judgement.last.get(HEADLINE)
    known = list(found.alone) if found else []
    test = found.mean(known) if found else None
    low = high = mean = None
    if test is not None:
        half = test.half_width()
        mean = metrics.percent(test.effect)
        low, high = metrics.percent(test.effect - half), metrics.percent(test.effect + half)
    elif values := [m.percent for p in points if (m := p.metrics.get(HEADLINE)) and m.percent is not None]:
        mean = sum(values) / len(values)
    overall = next((one for one in judgement.means if not one.job), None)
    return Headline(
        percent=mean,
        low_percent=low,
        high_percent=high,
        points=len(known) or sum(1 for p in points if p.metrics[HEADLINE].percent is not None),
        jobs=len(jobs_of(found)) if found else 0,
        text=_text(points, judgement, (mean, low, high), noise),
        word=overall.word if overall else None,
        waits=bool(overall and overall.word is None),
    )


def jobs(judgement: Judgement) -> list[MeanVerdict]:
    """Means of jobs that have a word, or wait for one."""
    return [
        MeanVerdict(
            job=one.job,
            metric=one.metric,
            points=list(one.points),
            percent=metrics.percent(one.effect),
            low_percent=metrics.percent(one.effect - one.half_width),
            high_percent=metrics.percent(one.effect + one.half_width),
            word=one.word,
            why=one.why,
        )
        for one in judgement.means
        if one.job
    ]


def causes(points: Sequence[PointVerdict], of_jobs: Sequence[MeanVerdict]) -> list[CauseVerdict]:
    """Each fact once: by word and cause, the points that show it; and jobs that changed as a whole."""
    found: dict[tuple[Word, str], dict[str, dict[str, float]]] = {}
    for point in points:
        for name, one in point.metrics.items():
            if one.word in CHANGES and one.percent is not None:
                place = found.setdefault((one.word, one.cause or name), {})
                place.setdefault(name, {})[point.point] = one.percent
    made = [
        CauseVerdict(
            word=word,
            cause=cause,
            metrics=list(by_metric),
            points=list(dict.fromkeys(point for named in by_metric.values() for point in named)),
            worst_percent=max(next(iter(by_metric.values())).values(), key=abs),
        )
        for (word, cause), by_metric in found.items()
    ]
    seen: set[tuple[str, str]] = set()
    for mean in of_jobs:
        where = (mean.job, cause_of(mean.metric))
        if mean.word in CHANGES and where not in seen:
            seen.add(where)
            made.append(
                CauseVerdict(
                    word=mean.word,
                    cause=cause_of(mean.metric),
                    metrics=[one.metric for one in of_jobs if (one.job, cause_of(one.metric)) == where],
                    points=mean.points,
                    job=mean.job,
                    worst_percent=mean.percent,
                )
            )
    return sorted(made, key=lambda one: (one.word != "regression", -abs(one.worst_percent)))


def sensitivity(points: Sequence[PointVerdict]) -> str:
    """What could have been seen of one point, and within what figures are unchanged: medians over points, the worst beside them."""
    seen, still, silent = [], [], []
    for name, metric in METRICS.items():
        ones = [m for p in points if (m := p.metrics.get(name)) and m.spread_percent is not None]
        known = sorted(m.could_see_percent for m in ones if m.could_see_percent is not None)
        quiet = sorted(
            m.unchanged_within_percent
            for m in ones
            if m.unchanged_within_percent is not None and m.word == "no change seen"
        )
        if ones and len(known) == len(ones):
            seen.append(f"{metric.judged_as} {_range(known)}")
        elif ones:
            silent.append(metric.judged_as)
        if quiet:
            still.append(f"{metric.judged_as} {_range(quiet)}")
    said = []
    if seen:
        said.append(
            f"could have seen, four times in five, a change of a single point by at least: {', '.join(seen)}"
        )
    if silent:
        said.append(
            f"what could have been seen cannot be said of {', '.join(silent)}: too little is known of noise"
        )
    if still:
        said.append(f"unchanged within (95 % sure): {', '.join(still)}")
    return "; ".join(said)


def _range(values: Sequence[float]) -> str:
    middle, worst = percent(median(values)), percent(values[-1])
    return f"{middle} %" if middle == worst else f"{middle} % (worst point {worst} %)"


def _text(
    points: Sequence[PointVerdict],
    judgement: Judgement,
    interval: tuple[float | None, float | None, float | None],
    noise: Sequence[NoiseVerdict],
) -> str:
    said = _counts(points)
    flagged = [one.point for one in points if any(m.flagged and m.word is None for m in one.metrics.values())]
    waiting = len(flagged)
    said += _means(judgement, flagged)
    if waiting:
        said.append(
            f"{_points(waiting)} flagged, which {'waits for its' if waiting == 1 else 'wait for their'} confirmation"
        )
    if noisier := [one for one in noise if one.noisier_head]:
        name = max(noisier, key=lambda one: one.head_over_base or 0.0)
        ratio = (name.head_over_base or 1.0) ** 0.5
        said.append(f"the head's runs vary {ratio:.1f} times as much as the base's")
    silent = sum(
        all(m.word is None and not m.flagged for m in one.metrics.values()) for one in points if one.metrics
    )
    quiet = sum("no change seen" in {m.word for m in one.metrics.values()} for one in points)
    if points and silent == len(points):
        reasons = {metric.why for one in points for metric in one.metrics.values()}
        said.append(f"no verdict: {reasons.pop() if len(reasons) == 1 else 'the noise is not known here'}")
    elif points and not said:
        said.append(f"no change seen in {_points(quiet)}")
    if 0 < silent < len(points):
        said.append(f"no word for {_points(silent)}")
    mean, low, high = interval
    if mean is not None:
        said.append(_mean_text(points, mean, low, high, judgement))
    return "; ".join(said) or "nothing to compare"


def _points(n: int) -> str:
    return f"{n} point{'' if n == 1 else 's'}"


def _counts(points: Sequence[PointVerdict]) -> list[str]:
    """How many points have each word."""
    said = []
    for word in (*CHANGES, "change below the floor", "invalid"):
        count = sum(word in {metric.word for metric in one.metrics.values()} for one in points)
        if count:
            said.append(f"{word} in {count} of {_points(len(points))}")
    return said


def _means(judgement: Judgement, flagged: Sequence[str]) -> list[str]:
    said, jobs_said = [], set[object]()
    waiting = {
        judgement.last[m].figures[p].job
        for p in flagged
        for m in judgement.last
        if p in judgement.last[m].figures
    }
    for one in judgement.means:
        name = METRICS[one.metric].judged_as
        size = f"{name} {percent(metrics.percent(one.effect), '+')} %"
        if not one.word:
            what = f"job {one.job}" if one.job else "everything"
            if one.job not in jobs_said | waiting:
                said.append(f"{what} flagged as a whole ({size}), which waits for its confirmation")
        elif one.job and (one.job, cause_of(one.metric)) not in jobs_said:
            said.append(f"{one.word} of job {one.job} as a whole ({size} over {_points(len(one.points))})")
        elif not one.job:
            said.append(f"{one.word} of everything ({size} over {_points(len(one.points))})")
        jobs_said |= {one.job, (one.job, cause_of(one.metric))}
    return said


def _mean_text(
    points: Sequence[PointVerdict], mean: float, low: float | None, high: float | None, judgement: Judgement
) -> str:
    n = sum(1 for one in points if one.metrics[HEADLINE].low_percent is not None) or sum(
        1 for one in points if one.metrics[HEADLINE].percent is not None
    )
    text = f"{METRICS[HEADLINE].judged_as} {mean:+z.1f} %"
    if low is None or high is None:
        return f"{text} over {_points(n)}"
    text += f" ({low:+z.1f} to {high:+z.1f}) over {_points(n)}"
    changed = any(one.word in CHANGES for one in judgement.means) or any(
        m.word in CHANGES or (m.flagged and m.word is None) for one in points for m in one.metrics.values()
    )
    if low * high > 0 and not changed and not any(one.word is None for one in judgement.means):
        text += ", which leans to one side and is not enough for a word"
    return text
