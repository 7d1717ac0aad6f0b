"""Which code is at work: commits and cleanliness, for records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from matrix.source import git
from matrix.version import VERSION
from utils.node.spec import Provenance
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = "0" * 40


def find(tree: Path) -> Provenance:
    """Provenance of the harness and of a tree; a folder without git is unknown and never clean."""
    commit, clean = _state(ROOT)
    tree_commit, tree_clean = (commit, clean) if tree == ROOT else _state(tree)
    return Provenance(
        commit=commit, clean=clean, tree_commit=tree_commit, tree_clean=tree_clean, harness=VERSION
    )


def _state(folder: Path) -> tuple[str, bool]:
    try:
        commit = git(folder, "rev-parse", "--verify", "HEAD").decode().strip()
        return commit, not git(folder, "status", "--porcelain").strip()
    except HarnessError:
        return UNKNOWN, False
