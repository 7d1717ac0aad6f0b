"""Squared differences of the ledger, pooled by what they belong to; and what a point may borrow.

From the widest to the nearest: everything of its class of concurrency, its model's, its recipe's, its recipe's at that very
concurrency. Each is drawn to the one before, which counts for as little as one that has not seen the nearer one deserves.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from matrix.metrics import WITH_NOISE
from utils.results.verdict import shared_luck
from utils.results.verdict.ledger_lines import ENDS
from utils.results.verdict.spread import UNKNOWN, Spread
from utils.results.verdict.variances import scatter_of

if TYPE_CHECKING:
    from utils.results.verdict.ledger_lines import Difference, Reset

NEEDED = 8
"""Pairs of servers from which a point's noise is called its own."""
CLASSES = ((8, "c1-8"), (64, "c9-64"), (math.inf, "c65+"))
"""Concurrency up to -> the class that shares its noise where nothing nearer is known."""
DESERVED = (2.0, 3.0, 4.0)
"""Degrees of freedom of all recipes for one that was never measured, of a model for a new recipe, of a recipe for a new concurrency."""
CLIP = 3.0
"""Standard deviations beyond which a line that came with an alarm counts no more."""


def class_of(concurrency: int) -> str:
    """The class of points whose noise is pooled."""
    return next(name for limit, name in CLASSES if concurrency <= limit)


@dataclass(slots=True)
class Pool:
    """Squared differences by pair of servers; those that a drift moves count only while there are too few others."""

    squares: dict[tuple[str, tuple[int, int]], tuple[float, int]] = field(default_factory=dict)
    """Sum over points, and how many."""
    ends: dict[tuple[str, tuple[int, int]], tuple[float, int]] = field(default_factory=dict)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Of each pair's mean, of `squares` and of `ends`."""
    days: list[str] = field(default_factory=list)
    """Of its lines, in order."""

    def add(self, line: Difference, value: float) -> None:
        """One difference of one point."""
        drifts = line.contrast == ENDS
        table = self.ends if drifts else self.squares
        where = (line.allocation, line.runs)
        total, n = table.get(where, (0.0, 0))
        self.sums[drifts] += (total + value * value) / (n + 1) - (total / n if n else 0.0)
        table[where] = (total + value * value, n + 1)
        at = bisect_left(self.days, line.day)
        if self.days[at : at + 1] != [line.day]:
            self.days.insert(at, line.day)

    def newest(self, day: str) -> str:
        """The newest day of its lines, but for those of a later day than is asked for: a node's clock may have been ahead by years."""
        known = self.days[: bisect_right(self.days, day)] if day else self.days
        return known[-1] if known else day

    @property
    def free_alone(self) -> bool:
        """Whether those without drift are enough."""
        return len(self.squares) >= NEEDED

    @property
    def df(self) -> int:
        """Pairs of servers."""
        return len(self.squares) + (0 if self.free_alone else len(self.ends))

    @property
    def variance(self) -> float:
        """Of one run: a difference has twice that."""
        total = self.sums[0] + (0.0 if self.free_alone else self.sums[1])
        return max(total, 0.0) / self.df / 2


Scope = tuple[str, str, str, str]
"""Device, driver, what it is of, metric."""


def recipe_of(line: Difference) -> str:
    """The recipe of a line, also of one from before lines said it."""
    return line.recipe or line.point.split("/")[0]


class Pools:
    """All of them."""

    def __init__(self) -> None:
        self.classes: dict[Scope, Pool] = defaultdict(Pool)
        self.points: dict[Scope, Pool] = defaultdict(Pool)
        self.near: dict[Scope, Pool] = defaultdict(Pool)
        """Of `model NAME CLASS`, `recipe NAME CLASS`, `recipe NAME cN`."""
        self.class_by_point: dict[str, str] = {}
        self.home: dict[str, tuple[str, int]] = {}
        """Point -> its recipe and concurrency."""
        self._cells: dict[Scope, dict[tuple[str, tuple[int, int]], dict[str, float]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self._known: dict[Scope, tuple[float, float, float]] = {}

    def count(self, line: Difference) -> None:
        """Add a line to every pool that it belongs to."""
        self._known.clear()
        recipe, name = recipe_of(line), class_of(line.concurrency)
        self.class_by_point[line.point] = name
        self.home[line.point] = recipe, line.concurrency
        for metric in WITH_NOISE:
            value = line.values.get(metric)
            if value is None:
                continue
            here = (line.device, line.driver)
            wide = self.classes[*here, name, metric]
            if line.alarm and wide.df and (most := CLIP * math.sqrt(2 * wide.variance)):
                value = max(-most, min(most, value))
            wide.add(line, value)
            self.points[*here, line.point, metric].add(line, value)
            for what in _near(line.model, recipe, line.concurrency):
                self.near[*here, what, metric].add(line, value)
            self._cells[*here, recipe, metric][line.allocation, line.runs][line.point] = value

    def forget(self, reset: Reset) -> None:
        """What a reset takes out."""
        self._known.clear()
        for pools in (self.classes, self.points, self.near):
            for where in [one for one in pools if _of(reset, one)]:
                del pools[where]
        for where in [one for one in self._cells if _of(reset, one)]:
            del self._cells[where]

    def spread(
        self, here: tuple[str, str], point: str, metric: str, home: tuple[str, str, int], day: str = ""
    ) -> Spread:
        """What is known of a point's noise, before any cap by age; its home is its model, recipe and concurrency, its day that of the runs."""
        model, recipe, concurrency = home
        pools = [self.classes.get((*here, class_of(concurrency), metric))]
        pools += [self.near.get((*here, what, metric)) for what in _near(model, recipe, concurrency)]
        variance, df = 0.0, 0.0
        for pool, deserved in zip(pools, (*DESERVED, math.inf), strict=True):
            if pool and pool.df:
                variance = (df * variance + pool.df * pool.variance) / (df + pool.df)
                df += pool.df
            df = min(df, deserved)
        if not df or variance <= 0:
            return UNKNOWN
        own = self.points.get((*here, point, metric))
        scatter, share, cells = self._of_recipe((*here, recipe, metric))
        best = own if own and own.df >= NEEDED else next(pool for pool in reversed(pools) if pool and pool.df)
        return Spread(
            sd=math.sqrt(variance),
            df=df,
            calibration="own" if own and own.df >= NEEDED else "borrowed",
            scatter=scatter,
            ratio=own.variance / variance if own else 1.0,
            ratio_df=float(own.df) if own else 0.0,
            share=share if cells else None,
            share_cells=cells,
            pairs=best.df,
            last_day=pools[0].newest(day) if pools[0] else "",
        )

    def _of_recipe(self, where: Scope) -> tuple[float, float, float]:
        """How much the points of a recipe scatter, and what points of one of its servers have in common."""
        if where not in self._known:
            device, driver, recipe, metric = where
            ratios = []
            for (one_device, one_driver, point, name), pool in self.points.items():
                if (one_device, one_driver, name) == (device, driver, metric) and self.home[point][
                    0
                ] == recipe:
                    near = self.near[device, driver, f"recipe {recipe} c{self.home[point][1]}", metric]
                    if pool.df and near.variance > 0:
                        ratios.append((pool.variance / near.variance, float(pool.df)))
            products = shared_luck.Products()
            for cell in self._cells.get(where, {}).values():
                sds = {p: math.sqrt(self.points[device, driver, p, metric].variance) for p in cell}
                products.add(value / sds[p] for p, value in cell.items() if sds[p])
            share = products.product / products.square if products.square else 0.0
            self._known[where] = (
                scatter_of(ratios),
                min(max(share, 0.0), shared_luck.MOST),
                float(products.cells),
            )
        return self._known[where]


def _of(reset: Reset, where: Scope) -> bool:
    return where[0] == reset.device and reset.driver in {None, where[1]}


def _near(model: str, recipe: str, concurrency: int) -> tuple[str, str, str]:
    name = class_of(concurrency)
    return f"model {model} {name}", f"recipe {recipe} {name}", f"recipe {recipe} c{concurrency}"
