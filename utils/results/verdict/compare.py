"""From two record sets to what is said of the change: matched, judged together, put into one value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matrix.metrics import JUDGED, METRICS
from utils.results.verdict import judge as verdict
from utils.results.verdict import metrics, pairs, parity, power_reading
from utils.results.verdict.beside import beside
from utils.results.verdict.comparison import Comparison, MetricVerdict, PointVerdict, Whole, Word
from utils.results.verdict.headline import headline
from utils.results.verdict.ledger import NEEDED, Ledger, Spread, device_of
from utils.results.verdict.metrics import geometric_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.verdict.pairs import Pair, Runs


def compare(
    base: Sequence[Record],
    head: Sequence[Record],
    ledger: Ledger,
    *,
    vary: Sequence[str] = (),
    confirmation: bool = True,
) -> Comparison:
    """Judge a head against a base.

    Args:
        base: records of one side, of the first block and of the one that confirms.
        head: the same of the other.
        ledger: what noise is.
        vary: parts of the key that are meant to differ besides what the records' plan names.
        confirmation: whether a flag must repeat before it is a word.

    Raises:
        HarnessError: NOT_COMPARABLE.
    """
    matched = pairs.match(base, head, vary)
    samples: dict[tuple[str, str], verdict.Sample] = {}
    why_not: dict[tuple[str, str], str] = {}
    other_answers = parity.failed(matched.both)
    invalid = {pair.point: pairs.invalid(pair.first) or other_answers for pair in matched.both}
    ledger = ledger.without({record.allocation for record in (*base, *head)})
    for pair in matched.both:
        if not invalid[pair.point]:
            _sample(pair, ledger, samples, why_not)
    findings = dict(
        zip(samples, verdict.judge(list(samples.values()), confirmation=confirmation), strict=True)
    )
    points = [
        PointVerdict(
            point=pair.point,
            runs=(len(pair.first.base), len(pair.first.head)),
            vary=pair.first.head[0].vary if pair.first.head else [],
            metrics=_metrics(pair, samples, findings, why_not, invalid[pair.point]),
            whole={
                name: Whole(base=one, head=other, percent=percent)
                for name, (one, other, percent) in (
                    {} if invalid[pair.point] else pairs.whole_means(pair.first)
                ).items()
            },
            beside={} if invalid[pair.point] else beside(pair, ledger),
            accuracy=parity.tasks(pair),
            invalid=invalid[pair.point],
        )
        for pair in matched.both
    ]
    jobs = {pair.point: pair.first.head[0].job for pair in matched.both if pair.first.head}
    some = [*head, *base]
    return Comparison(
        base_commit=base[0].provenance.tree_commit if base else "",
        head_commit=head[0].provenance.tree_commit if head else "",
        device=device_of(some[0]) if some else "",
        headline=headline(points, samples, jobs),
        points=points,
        new=matched.new,
        gone=matched.gone,
        notes=[
            *parity.notes(matched.both),
            *power_reading.readings(points, _throttled(matched.both)),
            *_notes(matched.both),
            *_held(ledger),
        ],
    )


def _sample(
    pair: Pair,
    ledger: Ledger,
    samples: dict[tuple[str, str], verdict.Sample],
    why_not: dict[tuple[str, str], str],
) -> None:
    """What is judged of a point, or why not."""
    some = pair.first.head[0]
    rules = some.rules
    odd = pairs.unfit(pair.first)
    again, useless = pair.again, ""
    if again and (
        useless := pairs.invalid(again) or pairs.unfit(again) or pairs.other_machine(pair.first, again)
    ):
        again = None
    for metric in JUDGED:
        first = _block(pair.first, metric)
        if metric not in rules.metrics or first is None:
            text = "the recipe does not judge it" if first else "too few requests for a steady window"
            why_not[pair.point, metric] = text
            continue
        spread = ledger.spread(
            device_of(some), some.node.driver or "", pair.point, _concurrency(some), metric
        )
        if odd:
            spread, why_not[pair.point, metric] = Spread(math.nan, 0, "none"), odd
        elif spread.calibration == "none":
            why_not[pair.point, metric] = (
                f"the ledger has {spread.df} of the {NEEDED} differences that a verdict needs"
            )
        samples[pair.point, metric] = verdict.Sample(
            first=first,
            again=_block(again, metric) if again else None,
            spread=spread,
            floor=rules.floors[metric] / 100,
            more_is_better=METRICS[metric].more_is_better,
            useless=useless,
        )


def _concurrency(record: Record) -> int:
    return record.load.concurrency if record.load else 1


def _block(runs: Runs, metric: str) -> verdict.Block | None:
    sides = [[metrics.judged(record, metric) for record in side] for side in (runs.base, runs.head)]
    known = [tuple(value for value in side if value is not None) for side in sides]
    if any(len(one) < len(side) for one, side in zip(known, sides, strict=True)):
        return None
    return verdict.Block(*known)


def _metrics(
    pair: Pair,
    samples: dict[tuple[str, str], verdict.Sample],
    findings: dict[tuple[str, str], verdict.Finding],
    why_not: dict[tuple[str, str], str],
    invalid: str,
) -> dict[str, MetricVerdict]:
    runs = (len(pair.first.base), len(pair.first.head))
    found: dict[str, MetricVerdict] = {}
    for metric in JUDGED:
        where = (pair.point, metric)
        if invalid or where not in samples:
            word: Word | None = "invalid" if invalid else None
            found[metric] = _nothing(runs, word, invalid or why_not[where])
        else:
            found[metric] = _judged(
                samples[where], findings[where], METRICS[metric].scale, why_not.get(where, "")
            )
    return found


def _nothing(runs: tuple[int, int], word: Word | None, why: str) -> MetricVerdict:
    return MetricVerdict(
        base=None,
        head=None,
        percent=None,
        low_percent=None,
        high_percent=None,
        runs=runs,
        df=0,
        calibration="none",
        spread_percent=None,
        floor_percent=0.0,
        p=None,
        could_see_percent=None,
        flagged=False,
        word=word,
        why=why,
    )


def _judged(one: verdict.Sample, finding: verdict.Finding, scale: float, why_not: str) -> MetricVerdict:
    shown = one.again if finding.flagged and one.again else one.first
    known = one.spread.calibration != "none"
    return MetricVerdict(
        base=scale * geometric_mean(shown.base),
        head=scale * geometric_mean(shown.head),
        percent=metrics.percent(finding.effect),
        low_percent=metrics.percent(finding.effect - finding.half_width) if known else None,
        high_percent=metrics.percent(finding.effect + finding.half_width) if known else None,
        runs=(len(shown.base), len(shown.head)),
        df=one.spread.df,
        calibration=one.spread.calibration,
        spread_percent=100 * one.spread.sd if known else None,
        floor_percent=100 * one.floor,
        p=finding.p if known else None,
        could_see_percent=100 * finding.could_see if known else None,
        flagged=finding.flagged,
        word=finding.word,
        why=why_not or finding.why,
    )


def _throttled(both: Sequence[Pair]) -> dict[str, list[str]]:
    """Point -> reasons for lower clocks that the head's devices gave and the base's did not."""
    words = {
        pair.point: [
            {word for record in side if record.power for word in record.power.throttled}
            for side in (pair.first.base, pair.first.head)
        ]
        for pair in both
    }
    return {point: sorted(head - base) for point, (base, head) in words.items()}


def _notes(both: Sequence[Pair]) -> list[str]:
    """Where arms differ in more than the change."""
    images = {
        (pair.first.base[0].image, pair.first.head[0].image)
        for pair in both
        if pair.first.base and pair.first.head
    }
    contained = any(record.squash_sha256 for pair in both for record in pair.first.all)
    return [
        f"the arms' images differ ({base}, {head}), and each arm's load client was its own image's"
        for base, head in sorted(images)
        if base != head and contained
    ] + _of_records(both)


def _of_records(both: Sequence[Pair]) -> list[str]:
    """What runs say of themselves, by point; of several runs the first, and how many more."""
    found = []
    for pair in both:
        said = [(record, note) for record in pair.first.all for note in record.notes]
        if said:
            record, note = said[0]
            more = f" (and {len(said) - 1} more notes)" if len(said) > 1 else ""
            found.append(f"{pair.point}, run {record.run_index + 1} ({record.arm}): {note}{more}")
    return found


def _held(ledger: Ledger) -> list[str]:
    """What the ledger does not count."""
    held = ledger.held
    return (
        [f"{len(held)} allocations are set aside from the ledger after an alarm: ./servematrix ledger show"]
        if held
        else []
    )
