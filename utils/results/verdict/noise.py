"""What one run of each point varies by: what the ledger says, corrected by what the change's own runs say of each other.

One metric at a time. The ledger gives each point a variance, and a few degrees of freedom for the level of today (capped, by
its age). Differences inside of arms, of all jobs and blocks, give the same level anew; both are pooled, and where they
contradict each other the ledger counts for less. A job that is louder than the others has a level of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from utils.results.verdict import shared_luck, student
from utils.results.verdict.variances import drawn, scatter_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.results.verdict.contrasts import Block
    from utils.results.verdict.spread import Spread

DRIFT_P = 0.05
"""A drift's own contrast counts as noise unless it is louder than the others by more than this."""
CONTRADICTS_LOUD, CONTRADICTS_QUIET = 0.10, 0.05
"""Where own runs are louder, or quieter, than the ledger by more than chance of this size, it counts for less."""
LOUD_JOB_P = 0.01
JOB_WEIGHT = 4.0
"""Degrees of freedom of the common level in a loud job's own."""
OUTLIER_P = 0.02
OUTLIER_WEIGHT = 12.0

Cell = tuple[str, int, int]
"""Job, block, and number of the contrast; -1 is the drift's."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a point, with the blocks that are looked at."""

    point: str
    job: str
    group: str
    """Points whose noise is of one kind where no ledger says more: of one concurrency."""
    prior: Spread
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Noise:
    """Of one run of one point."""

    sd: float
    df: float
    point_df: float = math.inf
    """Of the point beside the others alone, without the level that all share."""
    level_df: float = 0.0
    """Of that level."""


@dataclass(slots=True)
class Field:
    """The noise of all points in one metric."""

    points: dict[str, Noise] = field(default_factory=dict)
    common: shared_luck.Share = field(default_factory=lambda: shared_luck.Share(0.0, 0.0))
    cells: dict[Cell, dict[str, float]] = field(default_factory=dict)
    """Contrasts that count, by point, in logs."""
    level: float = math.nan
    """Mean square of the change's own runs over what the ledger says."""
    level_df: float = 0.0
    ledger_df: float = 0.0
    """Of the level, after what contradicts it."""
    louder_p: float = math.nan
    """How often chance alone makes own runs so much louder than the ledger."""
    loud_jobs: tuple[str, ...] = ()


def of(figures: Sequence[Figure]) -> Field:
    """The noise of each point that has any source of it."""
    cells: dict[Cell, dict[str, float]] = defaultdict(dict)
    for one in figures:
        for number, block in enumerate(one.blocks):
            free, drift = block.noise()
            for i, value in enumerate(free):
                cells[one.job, number, i][one.point] = value
            if drift is not None:
                cells[one.job, number, -1][one.point] = drift
    prior = _priors(figures, cells)
    return _pooled(figures, dict(cells), prior)


def _priors(figures: Sequence[Figure], cells: Mapping[Cell, Mapping[str, float]]) -> dict[str, float]:
    """Variances to begin with: the ledger's; without one each group's own, drawn to that of all."""
    known = {one.point: one.prior.drawn for one in figures if one.prior.sd > 0}
    if len(known) == len(figures):
        return known
    squares = _squares(cells)
    if known:
        usual = math.exp(fmean(map(math.log, known.values())))
        return {one.point: known.get(one.point, usual) for one in figures}
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in figures:
        if one.point in squares:
            groups[one.group].append(squares[one.point])
    pools = {name: (sum(s for s, _ in pool), sum(n for _, n in pool)) for name, pool in groups.items()}
    total = sum(s for s, _ in pools.values())
    count = sum(n for _, n in pools.values())
    if not total:
        return {}
    usual = total / count
    scatter = scatter_of([(s / n, n) for s, n in pools.values()])
    found = {name: drawn(usual, scatter, s / n, n)[0] for name, (s, n) in pools.items()}
    return {one.point: found.get(one.group, usual) for one in figures}


def _squares(cells: Mapping[Cell, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Point -> sum of squares and how many."""
    found: dict[str, tuple[float, float]] = {}
    for cell in cells.values():
        for point, value in cell.items():
            total, n = found.get(point, (0.0, 0.0))
            found[point] = (total + value * value, n + 1)
    return found


def _pooled(
    figures: Sequence[Figure], cells: dict[Cell, dict[str, float]], prior: Mapping[str, float]
) -> Field:
    shares = [one.prior for one in figures if one.prior.share is not None]
    ledger_share = fmean(one.share for one in shares if one.share is not None) if shares else None
    ledger_cells = min((one.share_cells for one in shares), default=0.0)
    ratios = {
        where: {p: v / math.sqrt(prior[p]) for p, v in cell.items() if p in prior}
        for where, cell in cells.items()
    }
    products = shared_luck.Products()
    for (_, _, number), cell in ratios.items():
        if number >= 0:
            products.add(cell.values())
    common = shared_luck.share(products, ledger_share, ledger_cells)
    free = {where: cell for where, cell in ratios.items() if where[2] >= 0}
    drift = {where: cell for where, cell in ratios.items() if where[2] < 0}
    level, df = _level(free, common)
    more, more_df = _level(drift, common)
    if drift and (not free or student.beyond(more / level, more_df, df) >= DRIFT_P):
        level, df = ((level * df if free else 0.0) + more * more_df) / (df + more_df), df + more_df
        counted = ratios
    else:
        counted = free
    found = Field(common=common, cells={where: cells[where] for where in counted}, level=level, level_df=df)
    _judge_ledger(found, figures)
    loud = _loud_jobs(counted, common, level, df)
    found.loud_jobs = tuple(loud)
    _points(found, figures, prior, loud)
    return found


def _level(cells: Mapping[Cell, Mapping[str, float]], common: shared_luck.Share) -> tuple[float, float]:
    """Mean square, and the degrees of freedom that it has although points share luck."""
    values = [v * v for cell in cells.values() for v in cell.values()]
    counts = [len(cell) for cell in cells.values() if cell]
    return (fmean(values) if values else math.nan), shared_luck.effective(counts, common.high)


def _judge_ledger(found: Field, figures: Sequence[Figure]) -> None:
    """How far the ledger's level is believed beside that of the change's own runs."""
    trusted = [one.prior.df for one in figures if one.prior.sd > 0]
    found.ledger_df = ledger = min(trusted, default=0.0)
    if not ledger or not found.level_df:
        return
    found.louder_p = p = student.beyond(found.level, found.level_df, ledger)
    found.ledger_df = ledger * min(1.0, 2 * p / CONTRADICTS_LOUD, 2 * (1 - p) / CONTRADICTS_QUIET)


def _loud_jobs(
    cells: Mapping[Cell, Mapping[str, float]], common: shared_luck.Share, level: float, df: float
) -> dict[str, tuple[float, float]]:
    """Jobs that are louder than the others, with their own mean square."""
    jobs: dict[str, dict[Cell, Mapping[str, float]]] = defaultdict(dict)
    for where, cell in cells.items():
        jobs[where[0]][where] = cell
    loud = {}
    for job, mine in jobs.items():
        if len(jobs) > 1:
            own, own_df = _level(mine, common)
            rest = df - own_df
            others = (level * df - own * own_df) / rest if rest > 0 else 0.0
            if others > 0 and student.beyond(own / others, own_df, rest) < LOUD_JOB_P:
                loud[job] = (own, own_df)
    return loud


def _points(
    found: Field,
    figures: Sequence[Figure],
    prior: Mapping[str, float],
    loud: Mapping[str, tuple[float, float]],
) -> None:
    own = {
        point: (total / prior[point], n)
        for point, (total, n) in _squares(found.cells).items()
        if point in prior
    }
    level = found.level if found.level_df else 1.0
    seen = {
        one.point: _ratio(one, *own.get(one.point, (0.0, 0.0)), level)
        for one in figures
        if one.point in prior
    }
    here = scatter_of([one for one in seen.values() if one[1]])
    least = min((one.prior.df for one in figures if one.prior.sd > 0), default=0.0)
    for one in figures:
        if one.point not in prior:
            continue
        trusted = found.ledger_df * one.prior.df / least if one.prior.sd > 0 and least else 0.0
        df = trusted + found.level_df
        if not df:
            continue
        common = (trusted + (found.level * found.level_df if found.level_df else 0.0)) / df
        if one.job in loud:
            mine, mine_df = loud[one.job]
            common, df = (JOB_WEIGHT * common + mine * mine_df) / (JOB_WEIGHT + mine_df), JOB_WEIGHT + mine_df
        scatter = max(one.prior.scatter, here) if one.prior.sd > 0 else here
        total, n = own.get(one.point, (0.0, 0.0))
        if n and total / n / common > student.ratio_beyond(OUTLIER_P, n, OUTLIER_WEIGHT):
            scatter = min(scatter, OUTLIER_WEIGHT)
        ratio, point_df = drawn(1.0, scatter, *seen[one.point])
        begin = one.prior.sd**2 if one.prior.sd > 0 else prior[one.point]
        found.points[one.point] = Noise(
            math.sqrt(begin * common * ratio), 1 / (1 / df + 1 / point_df), point_df, df
        )


def _ratio(one: Figure, total: float, n: float, level: float) -> tuple[float, float]:
    """A point's variance over its class's, by the ledger and by the change's own runs."""
    known = one.prior.ratio_df if one.prior.sd > 0 else 0.0
    if not known + n:
        return 1.0, 0.0
    mine = total * (one.prior.drawn / one.prior.sd**2 if one.prior.sd > 0 else 1.0) / level
    return (known * one.prior.ratio + mine) / (known + n), known + n
