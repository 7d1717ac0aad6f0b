"""What a comparison says, in short words: the only place from which changelog, report and comment read a comparison's fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE, METRICS, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.verdict.outcome import CauseVerdict, Comparison, MetricVerdict, PointVerdict

NONE = "none"
"""Said of a point for which no metric has a word; the notes say why."""
_RANKS = ("regression", "improvement", "invalid", "change below the floor", "no change seen")
_LOUD = "regression", "improvement"


@dataclass(frozen=True, slots=True)
class Seen:
    """One judged metric of one point."""

    word: str
    """`none` where nothing was said."""
    percent: float | None
    low: float | None
    high: float | None
    could_see: float | None
    """The smallest effect that would have been seen four times in five, in percent."""
    within: float | None
    """The effect is smaller than that on either side, in percent; None where that was not asked."""
    why: str

    @property
    def text(self) -> str:
        """For the changelog's `judged`: the word, its number, and its 95 % interval."""
        interval = (
            f" ({self.low:+z.1f} to {self.high:+z.1f})"
            if self.low is not None and self.high is not None
            else ""
        )
        if self.word in _LOUD and self.percent is not None:
            return f"{self.word} {percent(self.percent, '+')}%{interval}"
        if self.word == "no change seen" and self.could_see is not None:
            within = f", unchanged within {percent(self.within)}%" if self.within is not None else ""
            return f"{self.word} >= {percent(self.could_see)}%{within}{interval}"
        return self.word if self.word in {NONE, "invalid"} else f"{self.word}{interval}"


def seen(one: MetricVerdict) -> Seen:
    """A metric's verdict, by what this version and later ones name it."""
    return Seen(
        word=one.word or NONE,
        percent=one.percent,
        low=one.low_percent,
        high=one.high_percent,
        could_see=one.could_see_percent,
        within=getattr(one, "unchanged_within_percent", None),
        why=one.why,
    )


def by_metric(point: PointVerdict) -> dict[str, Seen]:
    """Metric -> what was judged."""
    return {name: seen(one) for name, one in point.metrics.items()}


def judged(point: PointVerdict) -> dict[str, str]:
    """Metric -> its text, for those that have a word."""
    return {name: one.text for name, one in by_metric(point).items() if one.word != NONE}


def first_word(text: str) -> str:
    """The word of a text such as `regression -9.1% (-11.0 to -7.2)`."""
    known = next((word for word in (*_RANKS, NONE) if text.startswith(word)), "")
    return known or text.split(" (", maxsplit=1)[0].split(" >=", maxsplit=1)[0]


def of_point(texts: Mapping[str, str]) -> str:
    """A point in one cell: the word, and of which metrics it is, where others differ; the worst first.

    Args:
        texts: metric -> word, or a text that begins with it; empty where nothing was said.
    """
    metrics: dict[str, list[str]] = {}
    for name, text in texts.items():
        metrics.setdefault(first_word(text), []).append(name)
    words = sorted(metrics, key=_rank)
    if not words:
        return NONE
    loud = [word for word in words if word in _LOUD]
    if len(words) == 1 or not loud:
        return words[0]
    return "; ".join(f"{word} {' '.join(metrics[word])}" for word in loud)


def _rank(word: str) -> int:
    return _RANKS.index(word) if word in _RANKS else len(_RANKS)


def waits(point: PointVerdict) -> bool:
    """Whether something of it was flagged, and is to be confirmed before there is a word."""
    return any(one.flagged and one.word is None for one in point.metrics.values())


def worst_word(point: PointVerdict) -> str:
    """Of its metrics the word that counts; what waits for its confirmation is no `no change seen`, whatever its other metrics are."""
    words = sorted((one.word for one in by_metric(point).values()), key=_rank)
    word = words[0] if words else NONE
    return NONE if waits(point) and word not in _LOUD else word


def of_verdict(point: PointVerdict) -> str:
    """A judged point in one cell, as `of_point`."""
    word = worst_word(point)
    return of_point(judged(point)) if word != NONE else NONE


def counts(comparison: Comparison) -> dict[str, int]:
    """Word -> points; a point with a regression counts as one, whatever else it has."""
    made: dict[str, int] = {}
    for point in comparison.points:
        word = "invalid" if point.invalid else worst_word(point)
        made[word] = made.get(word, 0) + 1
    return dict(sorted(made.items(), key=lambda item: _rank(item[0])))


def result(comparison: Comparison) -> str:
    """The change in one line: throughput with its interval, what a single point could have shown, and how many points have which word."""
    one = comparison.headline
    total = len(comparison.points)
    said = []
    if one.percent is not None:
        known = one.low_percent is not None and one.high_percent is not None
        interval = (
            f"95 % interval {one.low_percent:+z.1f} to {one.high_percent:+z.1f}" if known else "no interval"
        )
        said.append(f"throughput {one.percent:+z.1f} % ({interval})")
    names = {NONE: "no verdict"}
    words = ", ".join(
        f"{names.get(word, word)} in {n}{_of_metrics(comparison, word, n)}"
        for word, n in counts(comparison).items()
    )
    said.append(f"{words or 'nothing to compare, in 0'} of {total} points")
    if missed := sensitivity(comparison):
        said.append(missed)
    return "; ".join(said)


def _of_metrics(comparison: Comparison, word: str, points: int) -> str:
    """Of which metrics so many points have a change's word; empty where it is the same number of all that have it."""
    each = {
        metric.judged_as: n
        for name, metric in METRICS.items()
        if (n := sum(one.metrics[name].word == word for one in comparison.points if name in one.metrics))
    }
    if word not in _LOUD or set(each.values()) <= {points}:
        return ""
    return f" ({', '.join(f'{name} in {n}' for name, n in each.items())})"


def sensitivity(comparison: Comparison) -> str:
    """What could have been seen, and so what could have been missed; empty where nothing was judged."""
    if told := getattr(comparison, "sensitivity", ""):
        return str(told)
    limits = could_see(comparison)
    if not limits:
        return ""
    worst = f" (worst point {percent(max(limits))} %)" if max(limits) > 1.05 * min(limits) else ""
    return f"could have seen >= {percent(min(limits))} % throughput{worst}"


def first(comparison: Comparison) -> str:
    """A comment's first line: did it regress, where, how much, how sure, and what could have been missed."""
    said: list[str] = []
    loud = sorted(
        ((rank, -abs(one.percent), point.point, name, one)
         for point in comparison.points for name, one in by_metric(point).items()
         if one.percent is not None and (rank := _rank(one.word)) < len(_LOUD)),
        key=lambda row: row[:4],
    )  # fmt: skip
    names = {NONE: "no verdict"}
    quiet: list[str] = []
    for word, n in counts(comparison).items():
        text = f"{names.get(word, word)} in {n} of {len(comparison.points)} points"
        worst = next((row for row in loud if row[4].word == word), None)
        if worst:
            of = ", ".join(_fact(one.cause) for one in comparison.causes if one.word == word and not one.job)
            text += f" ({of})" if of else ""
            text += f", most {METRICS[worst[3]].judged_as} of {worst[2].split('/')[-1]} {_change(worst[4].percent, worst[4].low, worst[4].high)}"
        (said if worst else quiet).append(text)
    said += [
        *(f"{_of_job(one)} {_change(*mean(comparison, one))}" for one in comparison.causes if one.job),
        *quiet,
    ]
    one = comparison.headline
    if one.percent is not None:
        whole = f", {one.word} of the whole" if one.word in _LOUD else ""
        said.append(
            f"throughput over all points {_change(one.percent, one.low_percent, one.high_percent)}{whole}"
        )
    if waiting := sum(map(waits, comparison.points)):
        said.append(f"{waiting} point{'' if waiting == 1 else 's'} flagged, to be confirmed")
    said += [
        f"the head's runs vary {(noise.head_over_base or 1.0) ** 0.5:.1f} times as much as the base's in {METRICS[noise.metric].judged_as}"
        for noise in comparison.noise
        if noise.noisier_head and noise.metric in METRICS
    ][:1]
    said.append(sensitivity(comparison) or "what could have been seen is not known")
    text = "; ".join(said)
    return text[0].upper() + text[1:]


FACT_COLUMNS = ["change", "points", "most"]


def facts(comparison: Comparison) -> list[list[str]]:
    """Every change, each fact once, by effect: what, in how many points, and the largest of each of its metrics, under `FACT_COLUMNS`."""
    made = []
    for one in comparison.causes:
        if one.job:
            name = METRICS[one.metrics[0]].judged_as if one.metrics else ""
            what = f"{_of_job(one)}: {_fact(one.cause)}"
            made.append(
                [
                    what,
                    f"{len(one.points)} without a word of their own",
                    f"{name} {_change(*mean(comparison, one))} in the mean",
                ]
            )
            continue
        points = [point for point in comparison.points if point.point in one.points]
        most = []
        for name in one.metrics:
            seen_of = [(abs(each.percent), point.point, each) for point in points
                       if (each := by_metric(point).get(name)) and each.word == one.word and each.percent is not None]  # fmt: skip
            if seen_of:
                _, where, each = max(seen_of, key=lambda row: row[:2])
                most.append(
                    f"{METRICS[name].judged_as} {_change(each.percent, each.low, each.high)} of {where.split('/')[-1]}"
                )
        made.append(
            [
                f"{one.word}: {_fact(one.cause)}",
                f"{len(one.points)} of {len(comparison.points)}",
                "; ".join(most),
            ]
        )
    return made


def mean(comparison: Comparison, cause: CauseVerdict) -> tuple[float | None, float | None, float | None]:
    """A job's mean change in the first of a cause's metrics, with its interval."""
    for one in comparison.jobs:
        if one.job == cause.job and one.metric in cause.metrics[:1]:
            return one.percent, one.low_percent, one.high_percent
    return cause.worst_percent, None, None


def _of_job(one: CauseVerdict) -> str:
    return f"{one.word} of job {one.job} as a whole"


def _fact(cause: str) -> str:
    """What a cause is called: the metric's own name, where it is no view of something wider."""
    return METRICS[cause].judged_as if cause in METRICS else cause


def _change(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    interval = f" ({low:+z.1f} to {high:+z.1f})" if low is not None and high is not None else " (no interval)"
    return f"{percent(value, '+')} %{interval}"


def could_see(comparison: Comparison) -> list[float]:
    """Of each point that was judged, the smallest change of throughput that would have been seen four times in five, in percent."""
    every = (point.metrics.get(HEADLINE) for point in comparison.points)
    return [one.could_see_percent for one in every if one is not None and one.could_see_percent is not None]


def reasons(comparison: Comparison) -> list[str]:
    """Where the change comes from, of points that were profiled in both arms."""
    return [f"where the time went: {one.text}" for one in comparison.reasons]


def causes(comparison: Comparison) -> list[str]:
    """Why points have no verdict or are invalid, each cause once."""
    silent: dict[str, list[str]] = {}
    broken: dict[str, list[str]] = {}
    for point in comparison.points:
        if point.invalid:
            broken.setdefault(_cause(point.invalid), []).append(point.point)
            continue
        for one in point.metrics.values():
            if one.word is None and not one.flagged:
                silent.setdefault(one.why, []).append(point.point)
    total = len(comparison.points)
    waiting = [point.point for point in comparison.points if waits(point)]
    first = (
        [
            f"no verdict yet for {_points(waiting, total)}: flagged by one block, and to be confirmed by a second"
        ]
        if waiting
        else []
    )
    made = first + [f"invalid: {_points(points, total)}: {why}" for why, points in broken.items()]
    return made + [
        f"no verdict for {len(points)} figures of {_points(points, total)}: {why}"
        for why, points in silent.items()
    ]


def notes(comparison: Comparison) -> list[str]:
    """What runs say of themselves and what else is to be known, each text once."""
    grouped: dict[str, list[str]] = {}
    read: dict[str, list[tuple[str, str]]] = {}
    made = []
    for note in comparison.notes:
        if match := _OF_A_RUN.fullmatch(note):
            grouped.setdefault(match[2], []).append(match[1])
        elif match := _READING.fullmatch(note):
            read.setdefault(match[3], []).append((match[1], match[2]))
        else:
            made.append(note)
    made += [
        f"{ones[0][0]}: {ones[0][1]}: {meaning}"
        + (f" (and {len(ones) - 1} more point{'' if len(ones) == 2 else 's'} alike)" if len(ones) > 1 else "")  # noqa: PLR2004 - one more
        for meaning, ones in read.items()
    ]
    return made + [f"{_points(points, len(comparison.points))}: {text}" for text, points in grouped.items()]


_OF_A_RUN = re.compile(r"(\S+/\S+), run \d+ \(\w+\): (.*?)(?: \(and \d+ more notes\))?")
_READING = re.compile(r"(\S+/\S+): (throughput [-+].*?, power [-+].*?): (.*)")
"""What power says of a point: its figures, then what that means."""


def _cause(why: str) -> str:
    """A reason without which run it was."""
    return re.sub(r"\brun \d+( of the (base|head))?\b", "a run", why)


def _points(points: Sequence[str], total: int) -> str:
    """Points in words; which the first is, where it is not all of them."""
    names = list(dict.fromkeys(points))
    if len(names) == total > 1:
        return f"all {total} points"
    return names[0] if len(names) == 1 else f"{len(names)} points, the first {names[0]}"
