"""Which code is at work: commits and cleanliness, for records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from matrix.source import git
from matrix.version import VERSION
from utils.node.spec import UNKNOWN, Provenance
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def find(tree: Path) -> Provenance:
    """Provenance of the harness and of a tree; a folder without git is unknown and never clean."""
    commit, clean = _state(ROOT)
    tree_commit, tree_clean = (commit, clean) if tree == ROOT else _state(tree)
    return Provenance(
        commit=commit, clean=clean, tree_commit=tree_commit, tree_clean=tree_clean, harness=VERSION
    )


def problem(tree: Path) -> str:
    """Why records will not say which commit they are of, in git's words; empty where they will."""
    try:
        for folder in {ROOT, tree}:
            git(folder, "rev-parse", "--verify", "HEAD")
            git(folder, "status", "--porcelain")
    except HarnessError as error:
        return error.message
    return ""


def _state(folder: Path) -> tuple[str, bool]:
    try:
        commit = git(folder, "rev-parse", "--verify", "HEAD").decode().strip()
        return commit, not git(folder, "status", "--porcelain").strip()
    except HarnessError:
        return UNKNOWN, False
