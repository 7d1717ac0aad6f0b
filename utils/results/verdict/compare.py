"""From two record sets to what is said of the change: matched, judged together, put into one value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matrix.metrics import JUDGED, METRICS
from utils.node import saturation
from utils.results.verdict import figures, matching, metrics, noise_notes, parity, power_reading
from utils.results.verdict import judge as verdict
from utils.results.verdict.beside import beside
from utils.results.verdict.contrasts import Block
from utils.results.verdict.headline import causes, headline, jobs, sensitivity
from utils.results.verdict.ledger import Ledger, day_of, device_of
from utils.results.verdict.outcome import Comparison, LedgerName, PointVerdict, Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.verdict.matching import Pair, Runs


def compare(
    base: Sequence[Record],
    head: Sequence[Record],
    ledger: Ledger,
    *,
    vary: Sequence[str] = (),
    confirmation: bool = True,
    named: LedgerName | None = None,
) -> Comparison:
    """Judge a head against a base.

    Args:
        base: records of one side, of the first block and of the one that confirms.
        head: the same of the other.
        ledger: what noise is.
        vary: parts of the key that are meant to differ besides what the records' plan names.
        confirmation: whether a flag must hold over a second block before it is a word.
        named: by what the ledger is known later on.

    Raises:
        HarnessError: NOT_COMPARABLE.
    """
    matched = matching.match(base, head, vary)
    ledger = ledger.without({record.allocation for record in (*base, *head)})
    other_answers = parity.failed(matched.both)
    invalid = {pair.point: matching.invalid(pair.first) or other_answers for pair in matched.both}
    samples: dict[tuple[str, str], verdict.Sample] = {}
    why_not: dict[tuple[str, str], str] = {}
    for pair in matched.both:
        if not invalid[pair.point]:
            _sample(pair, ledger, samples, why_not)
    judgement = verdict.judged(list(samples.values()), confirmation=confirmation)
    findings = dict(zip(samples, judgement.findings, strict=True))
    points = []
    for pair in matched.both:
        runs = (len(pair.first.base), len(pair.first.head))
        bad = invalid[pair.point]
        said = {}
        for metric in JUDGED:
            where = (pair.point, metric)
            if where in samples:
                said[metric] = figures.judged(
                    samples[where], findings[where], judgement, confirmation=confirmation
                )
            else:
                said[metric] = figures.nothing(runs, "invalid" if bad else None, bad or why_not[where])
        points.append(
            PointVerdict(
                point=pair.point,
                runs=runs,
                vary=pair.first.head[0].vary if pair.first.head else [],
                metrics=said,
                whole=_whole(pair, bad),
                beside={} if bad else beside(pair, ledger),
                accuracy=parity.tasks(pair),
                invalid=bad,
            )
        )
    some = [*head, *base]
    noise = noise_notes.said(judgement)
    of_jobs = jobs(judgement)
    return Comparison(
        base_commit=base[0].provenance.tree_commit if base else "",
        head_commit=head[0].provenance.tree_commit if head else "",
        device=device_of(some[0]) if some else "",
        headline=headline(points, judgement, noise),
        points=points,
        new=matched.new,
        gone=matched.gone,
        notes=[
            *parity.notes(matched.both),
            *power_reading.readings(points, _throttled(matched.both)),
            *_notes(matched.both),
            *noise_notes.notes(noise),
            *_held(ledger),
        ],
        jobs=of_jobs,
        causes=causes(points, of_jobs),
        noise=noise,
        sensitivity=sensitivity(points),
        ledger=named,
        again=judgement.again if confirmation else [],
    )


def _whole(pair: Pair, bad: str) -> dict[str, Whole]:
    means = {} if bad else matching.whole_means(pair.first)
    return {
        name: Whole(base=one, head=other, percent=percent) for name, (one, other, percent) in means.items()
    }


def _sample(
    pair: Pair,
    ledger: Ledger,
    samples: dict[tuple[str, str], verdict.Sample],
    why_not: dict[tuple[str, str], str],
) -> None:
    """What is judged of a point, or why not."""
    some = pair.first.head[0]
    rules = some.rules
    again, useless = pair.again, ""
    if again and (
        useless := matching.invalid(again)
        or matching.unfit(again)
        or matching.other_machine(pair.first, again)
    ):
        again = None
    concurrency = some.load.concurrency if some.load else 1
    for metric in JUDGED:
        first = _block(pair.first, metric)
        if metric not in rules.metrics or first is None:
            text = "the recipe does not judge it" if first else "too few requests for a steady window"
            why_not[pair.point, metric] = text
            continue
        samples[pair.point, metric] = verdict.Sample(
            first=first,
            again=_block(again, metric) if again else None,
            spread=ledger.spread(
                device_of(some),
                some.node.driver or "",
                pair.point,
                concurrency,
                metric,
                recipe=some.recipe,
                model=some.model,
                day=day_of(some),
            ),
            floor=rules.floors[metric] / 100,
            more_is_better=METRICS[metric].more_is_better,
            useless=useless,
            point=pair.point,
            metric=metric,
            job=some.job,
            group=f"{pair.point.split('/')[0]} c{concurrency}",
            unfit=matching.unfit(pair.first),
        )


def _block(runs: Runs, metric: str) -> Block | None:
    """A figure's values in the order of the runs; None where a run has none."""
    order = sorted(runs.all, key=lambda record: record.run_index)
    values = [metrics.judged(record, metric) for record in order]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    heads = {id(record) for record in runs.head}
    order_of = tuple(id(record) in heads for record in order)
    base = tuple(value for value, head in zip(known, order_of, strict=True) if not head)
    head = tuple(value for value, head in zip(known, order_of, strict=True) if head)
    return Block(base, head, order_of)


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
    own_client = any(
        record.squash_sha256 and not record.node.load_image for pair in both for record in pair.first.all
    )
    return [
        f"the arms' images differ ({base}, {head}), and each arm's load client was its own image's"
        for base, head in sorted(images)
        if base != head and own_client
    ] + _of_records(both)


KIND = 40
"""Letters of a note, numbers aside, by which two are of one kind."""
KINDS_SHOWN = 4
"""Kinds of notes of a point that are shown."""


def _of_records(both: Sequence[Pair]) -> list[str]:
    """What runs say of themselves, by point: each kind of note once, and in how many runs more; that a point is beyond saturation comes first."""
    found = []
    for pair in both:
        kinds: dict[str, list[tuple[Record, str]]] = {}
        for record in pair.first.all:
            for note in record.notes:
                kinds.setdefault(re.sub(r"[\d.,]+", "#", note)[:KIND], []).append((record, note))
        said = sorted(kinds.values(), key=lambda kind: kind[0][1] != saturation.of(kind[0][0]))
        for kind in said[:KINDS_SHOWN]:
            record, note = kind[0]
            more = f" (and in {len(kind) - 1} more)" if len(kind) > 1 else ""
            found.append(f"{pair.point}, run {record.run_index + 1} ({record.arm}): {note}{more}")
        if rest := said[KINDS_SHOWN:]:
            found.append(f"{pair.point}: {sum(map(len, rest))} more notes, in its records")
    return found


def _held(ledger: Ledger) -> list[str]:
    """What the ledger does not count."""
    n = len(ledger.held)
    are = "1 allocation is" if n == 1 else f"{n} allocations are"
    return [f"{are} set aside from the ledger after an alarm: ./servematrix ledger show"] if n else []
