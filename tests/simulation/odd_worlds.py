"""SIMULATED worlds whose noise is none of those that the rule was chosen for: shared by all jobs, walking, in coarse steps, skewed, owed to the run before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.simulation.worlds import World

LEVELS = np.random.default_rng(99).uniform(0.6, 1.8, (64, 64))
"""Of a job's points, in the unit in which figures are coarse."""


@dataclass(frozen=True)
class OddWorld(World):
    """Each adds to the noise of `World`, or draws it in another way."""

    shared_by_jobs: float = 0.0
    """Variance that all jobs have in common, in variances of a run."""
    walk: float = 0.0
    """Standard deviation of the moves from each run to the next, in logs."""
    off: float = 0.0
    """In logs, of one in fifty runs of single points."""
    coarse: float = 0.0
    """Width to which figures are rounded; levels are from 0.6 to 1.8."""
    owed: float = 0.0
    """How much a run owes to the one before (AR(1))."""
    skewed: bool = False
    """Exponential draws."""
    loud: float = 0.0
    """How often a draw is five times as far off."""

    def _draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        if self.skewed:
            return random.exponential(1.0, shape) - 1
        found = super()._draw(random, shape)
        if self.loud:
            found = found * np.where(random.random(shape) < self.loud, 5.0, 1.0)
        if self.owed:
            fresh = math.sqrt(1 - self.owed**2) * found
            for i in range(1, shape[-1]):
                found[..., i] = self.owed * found[..., i - 1] + fresh[..., i]
        return found

    def logs(self, random: np.random.Generator, points_sd: np.ndarray, *, arms: bool = True) -> np.ndarray:
        """One block's noise: (job, point, metric, run)."""
        found = super().logs(random, points_sd, arms=arms)
        n = 2 * self.runs
        slower = np.zeros((self.jobs, self.points, 1, n))
        if self.shared_by_jobs:
            slower = slower + random.standard_normal(n) * self.sd * math.sqrt(self.shared_by_jobs)
        if self.walk:
            slower = slower + np.cumsum(random.standard_normal((self.jobs, 1, 1, n)) * self.walk, axis=-1)
        if self.off:
            slower = slower + self.off * (random.random((self.jobs, self.points, 1, n)) < 0.02)
        found = found + np.array([-1, 1, 1])[:, None] * slower
        if self.coarse:
            levels = np.log(LEVELS[: self.jobs, : self.points])[:, :, None, None]
            steps = np.round(np.exp(found + levels) / self.coarse)
            found = np.log(np.maximum(steps, 1) * self.coarse) - levels
        return found
