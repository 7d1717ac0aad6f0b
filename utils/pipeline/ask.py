"""What a plan or a run is asked for: made once, by a command line or by a sweep, and handed down unchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from matrix.cluster import names
from matrix.errors import Exit, HarnessError, did_you_mean
from matrix.source import Folder
from matrix.tree import Tree
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ROOT / "results"
BALANCED = (2, 4)
"""Runs an arm: B H H B once or twice. Three are not balanced against drift."""


def has_recipes(root: Path) -> None:
    """Whether `--tree` names a checkout.

    Raises:
        HarnessError: USAGE.
    """
    if not (root / "recipes").is_dir():
        raise HarnessError(Exit.USAGE, f"{root} has no recipes/; --tree wants the root of a checkout")


@dataclass(frozen=True)
class Ask:
    """Every question that the pipeline answers; what is not said has the default of the command line."""

    selectors: tuple[str, ...] = ()
    """Recipes, or shell patterns on point identifiers; none means all points."""
    root: Path = ROOT
    """Checkout with recipes and kernels; clusters and locks are always this one's."""
    changed: str | None = None
    """BASE or BASE...HEAD: only points whose key differs from the merge base."""
    pair: str | None = None
    """What the head is measured beside: a revision, entry=N, kernel=off, another recipe."""
    runs: int | None = None
    """Fresh servers an arm; None means one, or with a pair what the base's recipe says."""
    budget_h: float | None = None
    """Most node-hours."""
    timings: tuple[Path, ...] | None = None
    """Folders with records that tell how long things take; None means results/ where it is there."""
    launcher: str | None = None
    """Another than the cluster file's."""
    out: Path | None = None
    """Where results go; None means a new folder below results/."""
    cluster: str = ""
    """Another than the recipes name."""
    environment: Path | None = None
    """An environment of one's own in the place of the locked one, for runtime none."""
    ledger: Path = RESULTS / "ledger.jsonl"
    """The A/A ledger."""
    confirms: bool = True
    """Measure once more what may be a change."""
    profile: str = ""
    """`decode` or `prefill`: profile some steps of each point instead of measuring it; of a pair, after its verdict, `decode` of the
    point that moved most."""

    def __post_init__(self) -> None:
        """Refuse what can be known to be wrong before anything is read.

        Raises:
            HarnessError: USAGE.
        """
        has_recipes(self.root)
        if self.cluster and self.cluster not in (known := names(self.tree.clusters)):
            raise HarnessError(
                Exit.USAGE, f"--cluster {self.cluster}: no such cluster; {did_you_mean(self.cluster, known)}"
            )
        for folder in self.timings or ():
            if not folder.exists():
                raise HarnessError(
                    Exit.USAGE,
                    f"--history {folder} is not there; name a folder with records, or leave it out",
                )
        if self.profile and self.runs and not self.pair:
            raise HarnessError(Exit.USAGE, "a profile is no measurement: --profile goes without --runs")
        if self.profile not in {"", "decode"} and self.pair:
            raise HarnessError(
                Exit.USAGE,
                "a pair's profile explains its TPOT, which is of decode: --pair goes with --profile decode",
            )
        if self.pair and self.runs not in {None, *BALANCED}:
            raise HarnessError(
                Exit.USAGE,
                f"--pair wants 2 or 4 --runs an arm, not {self.runs}: only B H H B, once or twice, is balanced against drift",
            )

    @cached_property
    def tree(self) -> Tree:
        """Where recipes, kernels, clusters and locks are read."""
        harness = Folder(ROOT) if self.root != ROOT else None
        own = self.environment is not None
        return replace(Tree.of(Folder(self.root), harness), own_environment=own, cluster=self.cluster)
