"""Draws docs/operating-curve.svg: how often the verdict finds a slowdown of one point among 24, on the SIMULATED server.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/operating_curve.py

The figures go beside the picture, into docs/operating-curve.json.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from tests.simulation.rates import Case, count
from tests.simulation.worlds import Change, World

FOLDER = Path(__file__).resolve().parent.parent / "docs"
DRAWS = 200
SEED = 20261126
EFFECTS = (0.0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06)
CURVES = {"ledger of 30 sweeps": 30, "ledger of 1 sweep": 1, "no ledger": 0}
"""Two runs an arm, and what was known before."""


def found(effect: float, sweeps: int) -> float:
    """The share of changes in which the planted point is called a regression."""
    return count(Case(World(), Change(one=math.log1p(effect)), sweeps=sweeps), DRAWS, seed=SEED).found / DRAWS


def main() -> None:
    """Simulate every place of every curve, keep the figures, draw."""
    curves: dict[str, list[float]] = {}
    for title, sweeps in CURVES.items():
        curves[title] = [found(effect, sweeps) for effect in EFFECTS]
        print(title, curves[title], flush=True)
    slowdowns = [100 * effect for effect in EFFECTS]
    content = {"draws": DRAWS, "seed": SEED, "slowdown_percent": slowdowns, "found": curves}
    (FOLDER / "operating-curve.json").write_text(json.dumps(content, indent=1) + "\n")
    mpl.rcParams["svg.hashsalt"] = "servematrix"  # the same picture for the same figures
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (title, values), style in zip(curves.items(), ("o-", "s--", "^-"), strict=True):
        axes.plot(slowdowns, [100 * value for value in values], style, label=title)
    axes.set(
        xlabel="slowdown of one point of 24, %",
        ylabel=f"called a regression, % of {DRAWS} changes",
        ylim=(-2, 102),
        title="What the verdict sees with two runs an arm that vary by 0.9 % (simulated)",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(FOLDER / "operating-curve.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
