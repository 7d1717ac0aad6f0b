"""SIMULATED changes at the level of runs: logs of each run's figures, in worlds that a ledger may or may not know.

Judged by the same functions as `compare` (`verdict.judge.judged`), with ledgers made of the product's own lines; records are
left out, for writing them would cost more than judging.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from utils.results.verdict import judge as verdict
from utils.results.verdict.contrasts import Block, contrasts
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.ledger_lines import ENDS, FREE, Difference
from utils.results.verdict.spread import Spread

METRICS = ("tput", "tpot", "ttft")
FLOORS = {"tput": 0.01, "tpot": 0.015, "ttft": 0.03}
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ORDER = np.array([False, True, True, False])


@dataclass(frozen=True)
class World:
    """How runs vary."""

    jobs: int = 4
    points: int = 6
    """Of each job."""
    sd: float = 0.009
    ttft_louder: float = 1.4
    share: float = 0.55
    """Of the variance, what the points of one server have in common."""
    tails: float = math.inf
    """Degrees of freedom of Student's distribution that noise has."""
    drift: float = 0.0
    """Over a block, in logs; up and down in turns by job."""
    step: float = 0.0
    """In logs, in one of ten allocations, at some run."""
    unequal: float = 0.0
    """Standard deviation of the points' log standard deviations."""
    bimodal: float = 0.0
    """In logs, of one server start in five."""
    loud_one: float = 1.0
    """Factor on the noise of concurrency 1."""
    runs: int = 2
    """Of an arm."""
    head_sd: float = 1.0
    """Factor on the head's noise."""

    @property
    def order(self) -> np.ndarray:
        """Which runs are the head's."""
        return np.tile(ORDER, self.runs // 2)

    def name(self, job: int, point: int) -> str:
        """Of a point."""
        return f"r/64x24-tp{job + 1}-c{CONCURRENCIES[point % 10]}" + ("" if point < 10 else f"-{point // 10}")

    def logs(self, random: np.random.Generator, points_sd: np.ndarray, *, arms: bool = True) -> np.ndarray:
        """One block's noise: (job, point, metric, run)."""
        n = 2 * self.runs
        server = self._draw(random, (self.jobs, 1, n)) * math.sqrt(self.share)
        own = self._draw(random, (self.jobs, self.points, n)) * math.sqrt(1 - self.share)
        plain = server + own
        plain = plain * self.sd * points_sd[:, :, None]
        if arms and self.head_sd != 1.0:
            plain = plain * np.where(self.order, self.head_sd, 1.0)
        if self.bimodal:
            plain = plain + self.bimodal * (random.random((self.jobs, 1, n)) < 0.2)
        places = np.linspace(-0.5, 0.5, n)
        plain = plain + self.drift * places * np.array([(-1) ** j for j in range(self.jobs)])[:, None, None]
        if self.step:
            hit = random.random(self.jobs) < 0.1
            at = random.integers(1, n, self.jobs)
            plain = plain + (self.step * hit[:, None] * (np.arange(n) >= at[:, None]))[:, None, :]
        small = self._draw(random, (self.jobs, self.points, n)) * self.sd * 0.12
        extra = self._draw(random, (self.jobs, self.points, n)) * self.sd * points_sd[:, :, None]
        ttft = plain + extra * math.sqrt(max(self.ttft_louder**2 - 1, 0.0))
        return np.stack([-plain + small, plain, ttft], axis=2)

    def _draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if math.isinf(self.tails):
            return random.standard_normal(shape)
        return random.standard_t(self.tails, shape) / math.sqrt(self.tails / (self.tails - 2))

    def points_sd(self, random: np.random.Generator) -> np.ndarray:
        """Factor of each point."""
        found = np.exp(self.unequal * random.standard_normal((self.jobs, self.points)))
        found[:, 0] *= self.loud_one
        return found


def ledger_of(
    world: World,
    sweeps: int,
    random: np.random.Generator,
    points_sd: np.ndarray,
    *,
    how: str = "aa",
    recipe: str = "r",
) -> Ledger:
    """What so many sweeps leave.

    Args:
        world: in which they were measured.
        sweeps: how many.
        random: where they come from.
        points_sd: of the points.
        how: `aa` for something against itself, `pulls` for bases of pull requests alone, `both` for trusted pairs of two keys.
        recipe: whose points they are.
    """
    lines = []
    n = 2 * world.runs
    order = tuple(bool(one) for one in world.order)
    for sweep in range(sweeps):
        logs = world.logs(random, points_sd, arms=False)
        if how == "aa":
            weights, contrast = contrasts((0,) * n)[0], FREE
        elif how == "both":
            weights, contrast = contrasts(order)[0], FREE
        else:
            base = [i for i in range(n) if not order[i]]
            row = [0.0] * n
            row[base[0]], row[base[-1]] = -math.sqrt(0.5), math.sqrt(0.5)
            weights, contrast = (tuple(row),), ENDS
        for job in range(world.jobs):
            for point in range(world.points):
                for i, w in enumerate(weights):
                    values = math.sqrt(2) * logs[job, point] @ np.array(w)
                    lines.append(
                        Difference.model_construct(
                            day="2026-06-16", device="G", driver="1", model="m" if recipe == "r" else recipe,
                            recipe=recipe, point=world.name(job, point).replace("r/", f"{recipe}/"),
                            concurrency=CONCURRENCIES[point % 10], key="k", allocation=f"s{sweep}.{job}",
                            runs=(i, i + 1), arm="base", issuer="nightly", contrast=contrast, image="i", node="n",
                            values=dict(zip(METRICS, map(float, values), strict=True)), held="", alarm="",
                        )
                    )  # fmt: skip
    return Ledger(lines)


@dataclass(frozen=True)
class Change:
    """What a head does: slowdowns in logs."""

    one: float = 0.0
    """Of the fourth point of the second job."""
    job: float = 0.0
    """Of the second job."""
    everything: float = 0.0
    half: float = 0.0
    """Of every second point of the second job."""
    planted: dict[tuple[int, int], float] = field(default_factory=dict)

    def of(self, world: World) -> np.ndarray:
        """By job and point."""
        found = np.full((world.jobs, world.points), self.everything)
        j = min(1, world.jobs - 1)
        found[j] += self.job
        found[j, min(3, world.points - 1)] += self.one
        found[j, ::2] += self.half
        for where, effect in self.planted.items():
            found[where] += effect
        return found


def block_of(world: World, logs: np.ndarray, effect: np.ndarray, at: tuple[int, int, int]) -> Block:
    """One figure's block."""
    job, point, metric = at
    sign = -1 if METRICS[metric] == "tput" else 1
    row = np.exp(logs[job, point, metric] + sign * effect[job, point] * world.order)
    return Block(tuple(map(float, row[~world.order])), tuple(map(float, row[world.order])))


Spreads = dict[tuple[int, int, int], Spread]
"""By job, point and metric."""


def spreads_of(world: World, ledger: Ledger, day: str = "2026-06-16") -> Spreads:
    """What a ledger says of every figure."""
    return {
        (j, p, m): ledger.spread("G", "1", world.name(j, p), CONCURRENCIES[p % 10], METRICS[m], recipe="r", model="m", day=day)
        for j in range(world.jobs) for p in range(world.points) for m in range(3)
    }  # fmt: skip


def judged(
    world: World, spreads: Spreads, change: Change, random: np.random.Generator, points_sd: np.ndarray
) -> tuple[verdict.Judgement, verdict.Judgement, list[verdict.Sample], int]:
    """The first judgement, the last, its samples, and how many jobs were measured again."""
    effect = change.of(world)
    first = world.logs(random, points_sd)
    samples = []
    for (j, p, m), spread in spreads.items():
        samples.append(
            verdict.Sample(
                first=block_of(world, first, effect, (j, p, m)), again=None, spread=spread, floor=FLOORS[METRICS[m]],
                more_is_better=METRICS[m] == "tput", point=world.name(j, p), metric=METRICS[m], job=f"j{j}",
                group=str(CONCURRENCIES[p % 10]),
            )
        )  # fmt: skip
    begin = verdict.judged(samples)
    if not begin.again:
        return begin, begin, samples, 0
    again = set(begin.again)
    second = world.logs(random, points_sd)
    whole = [
        replace(one, again=block_of(world, second, effect, (j, p, m))) if one.point in again else one
        for one, (j, p, m) in zip(samples, spreads, strict=True)
    ]
    jobs = {one.job for one in whole if one.again}
    return begin, verdict.judged(whole), whole, len(jobs)
