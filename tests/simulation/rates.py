"""How often what is said of SIMULATED changes is right, world by world: counts, with their 95 % bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from tests.simulation.worlds import Change, World, judged, ledger_of, spreads_of
from utils.results.verdict.figures import could_see

CHUNK = 50
"""Changes that share a ledger."""
CHANGES = {"regression", "improvement"}


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    world: World
    change: Change = field(default_factory=Change)
    sweeps: int = 30
    ledger: World | None = None
    """Where the ledger was measured; the same world where nothing else is said."""
    how: str = "aa"
    recipe: str = "r"


@dataclass
class Counts:
    """Of so many changes."""

    n: int = 0
    called: int = 0
    """Anything was called a regression or an improvement: a point, a job, or everything."""
    found: int = 0
    """The planted point was called a regression."""
    wrong: int = 0
    """A point that did not change was called, or one that did by the wrong word."""
    job: int = 0
    everything: int = 0
    again: int = 0
    """Jobs that were measured once more."""
    covered: int = 0
    intervals: int = 0


def count(case: Case, draws: int, seed: int = 0, chunk: int = CHUNK) -> Counts:
    """Draw changes, judge each, confirm what is flagged, and count what was said in the end; so many share a ledger."""
    found, world = Counts(), case.world
    effect = case.change.of(world)
    target = (min(1, world.jobs - 1), min(3, world.points - 1))
    for number in range(-(-draws // chunk)):
        random = np.random.default_rng([seed, number])
        sds = world.points_sd(random)
        ledger = ledger_of(case.ledger or world, case.sweeps, random, sds, how=case.how, recipe=case.recipe)
        spreads = spreads_of(world, ledger)
        for _ in range(min(chunk, draws - chunk * number)):
            _, last, _, again = judged(world, spreads, case.change, random, sds)
            words: dict[tuple[int, int], set[str]] = {}
            for finding, (j, p, m) in zip(last.findings, spreads, strict=True):
                if finding.word in CHANGES:
                    words.setdefault((j, p), set()).add(finding.word)
                if not math.isnan(finding.half_width):
                    true = -effect[j, p] if m == 0 else effect[j, p]
                    found.intervals += 1
                    found.covered += bool(abs(finding.effect - true) <= finding.half_width)
            means = [one for one in last.means if one.word in CHANGES]
            found.n += 1
            found.called += bool(words or means)
            found.found += "regression" in words.get(target, ())
            found.wrong += any(effect[where] == 0 or "improvement" in said for where, said in words.items())
            found.job += any(one.job for one in means)
            found.everything += any(not one.job for one in means)
            found.again += again
    return found


def come_true(world: World, draws: int, sweeps: int = 30, seed: int = 5) -> tuple[int, int]:
    """How often a change of just what `could have seen` says of a point is found when it is planted there, and of how many."""
    hits = n = 0
    for number in range(-(-draws // CHUNK)):
        random = np.random.default_rng([seed, number])
        sds = world.points_sd(random)
        spreads = spreads_of(world, ledger_of(world, sweeps, random, sds))
        for _ in range(min(CHUNK, draws - CHUNK * number)):
            begin, _, samples, _ = judged(world, spreads, Change(), random, sds)
            at = int(random.integers(world.jobs)), int(random.integers(world.points))
            one = next(s for s in samples if s.point == world.name(*at) and s.metric == "tpot")
            x = could_see(replace(one, again=None), begin)
            if x is None:
                continue
            change = Change(planted={at: math.log1p(x / 100)})
            _, last, planted, _ = judged(world, spreads, change, random, sds)
            n += 1
            hits += any(
                finding.word == "regression" and sample.point == one.point
                for finding, sample in zip(last.findings, planted, strict=True)
            )
    return hits, n


def bounds(k: int, n: int) -> tuple[float, float]:
    """Of a share, 95 % (Wilson 1927)."""
    z = 1.96
    middle = (k + z * z / 2) / (n + z * z)
    half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return middle - half, middle + half
