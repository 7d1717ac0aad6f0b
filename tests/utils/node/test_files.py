"""Files below a folder in which others work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write
from utils.node import caches
from utils.node.files import below
from utils.results import collect


@pytest.fixture
def vanishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `gone` that is there when the one above it is listed, and is not when it is looked into."""
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and Path(path).name == "gone":
            shutil.rmtree(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for folder in ("gone", "stays"):
        write(tmp_path / ".triton" / folder / "fn.cubin", "")
    return tmp_path


def test_what_vanishes_meanwhile_is_passed_over(vanishing: Path) -> None:
    """Triton makes a folder, renames what is in it, and removes it, while a point asks what was compiled."""
    assert [path.parent.name for path in below(vanishing, "*.cubin")] == ["stays"]


def test_what_was_compiled_is_known_all_the_same(vanishing: Path) -> None:
    """The point ends measured."""
    assert caches.compiled(vanishing) == {"triton/stays/fn.cubin"}


def test_a_run_that_sets_a_job_aside_can_be_looked_at(vanishing: Path) -> None:
    """`collect` of a run that goes on."""
    assert collect.without([vanishing]) == [vanishing]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {"a/run-0/c1/record.json", "a/run-0/c1/log", "a/record.json"}),
        ("record.json", {"a/run-0/c1/record.json", "a/record.json"}),
        ("c1/record.json", {"a/run-0/c1/record.json"}),
        ("run-*/*/record.json", {"a/run-0/c1/record.json"}),
        ("*/record.json", {"a/run-0/c1/record.json", "a/record.json"}),
        ("*/*/*/*/record.json", set()),
        ("c2/record.json", set()),
    ],
)
def test_a_pattern_has_the_folders_above_too(tmp_path: Path, pattern: str, found: set[str]) -> None:
    """As `rglob` has it; no link to a folder is followed."""
    for name in ("a/run-0/c1/record.json", "a/run-0/c1/log", "a/record.json"):
        write(tmp_path / name, "")
    (tmp_path / "again").symlink_to(tmp_path / "a")
    assert {str(path.relative_to(tmp_path)) for path in below(tmp_path, pattern)} == found


def test_caches_behind_a_link_are_not_walked(tmp_path: Path) -> None:
    """The server's side can put one there; it would lead to any folder of the recorder's."""
    write(tmp_path / "elsewhere/x.so", "")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.triton").symlink_to(tmp_path / "elsewhere")
    assert caches.compiled(tmp_path / "home") == frozenset()
