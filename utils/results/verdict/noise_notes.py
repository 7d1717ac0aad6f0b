"""What a comparison says of noise: of the change's own runs against the ledger, and of the head against the base."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from utils.results.verdict import shared_luck, student
from utils.results.verdict.outcome import NOISIER_P, NoiseVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.results.verdict.evidence import Evidence
    from utils.results.verdict.sample import Judgement


def said(judgement: Judgement) -> list[NoiseVerdict]:
    """A line a metric."""
    made = []
    for metric, one in judgement.last.items():
        field, (ratio, p) = one.noise, _arms(one)
        judged = field.level_df > 0 and not math.isnan(field.louder_p)
        made.append(
            NoiseVerdict(
                metric=metric,
                over_ledger=field.level if judged else None,
                louder_p=field.louder_p if judged else None,
                head_over_base=ratio,
                head_louder_p=p,
                loud_jobs=list(field.loud_jobs),
                share=field.common.value,
            )
        )
    return made


def _arms(one: Evidence) -> tuple[float | None, float | None]:
    """Variance inside of the head's runs over that of the base's, and how often chance makes it so much."""
    sums, cells = [0.0, 0.0], [0.0, 0.0]
    counts: dict[tuple[str, int], list[int]] = {}
    for point, figure in one.figures.items():
        if point not in one.noise.points or not (sd := one.noise.points[point].sd):
            continue
        for number, block in enumerate(figure.blocks):
            for arm, total in enumerate(block.within()):
                sums[arm] += total / sd**2
                cells[arm] += len(block.base if arm == 0 else block.head) - 1
            counts.setdefault((figure.job, number), []).append(len(block.head) - 1)
    if not sums[0] or not min(cells):
        return None, None
    df = sum(shared_luck.effective([len(ones)], one.noise.common.high) * ones[0] for ones in counts.values())
    ratio = (sums[1] / cells[1]) / (sums[0] / cells[0])
    return ratio, student.beyond(ratio, df, df)


def notes(lines: Sequence[NoiseVerdict]) -> list[str]:
    """In sentences, what a reader must know."""
    found = []
    for one in lines:
        if one.louder_p is not None and one.over_ledger is not None and one.louder_p < NOISIER_P:
            found.append(
                f"{one.metric}: runs of the same arm vary {math.sqrt(one.over_ledger):.1f} times as much as in the ledger; "
                "their own noise is what was judged by"
            )
        if one.loud_jobs:
            found.append(
                f"{one.metric}: {', '.join(one.loud_jobs)} varies more than the other jobs, and is judged by its own noise"
            )
        if one.noisier_head and one.head_over_base:
            found.append(
                f"{one.metric}: the head's runs vary {math.sqrt(one.head_over_base):.1f} times as much as the base's "
                f"(p = {one.head_louder_p:.1g}); a change may hide in that"
            )
    return found
