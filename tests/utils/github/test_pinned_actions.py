"""Actions that workflows use: read from every file, and out of date where a newer release is a week old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.github import pinned_actions
from utils.github.pinned_actions import Pin

NOW = datetime(2026, 11, 27, tzinfo=UTC)
COMMIT = "a" * 40


def latest(version: str, days: float) -> dict[str, str]:
    return {"tag_name": version, "published_at": (NOW - timedelta(days=days)).isoformat()}


@pytest.mark.parametrize(
    ("pin", "newest", "days", "good"),
    [
        (Pin("a/b", COMMIT, "v7.0.1"), "v7.0.1", 900, True),
        (Pin("a/b", COMMIT, "v7.0.1"), "v7.0.2", 30, False),
        (Pin("a/b", COMMIT, "v7.0.1"), "v8.0.0", 7, False),
        (Pin("a/b", COMMIT, "v7.0.1"), "v7.0.2", 2, True),
        (Pin("a/b", COMMIT, ""), "v7.0.2", 30, False),
        (Pin("a/b", "v7", "v7"), "v7", 30, False),
        (Pin("a/b", "main", ""), "v7", 1, False),
    ],
)
def test_a_pin_is_judged(pin: Pin, newest: str, days: float, good: bool) -> None:  # noqa: FBT001 - a row
    """By version, by the time that Dependabot waits, and never good where it is a name that can be moved."""
    found, words = pinned_actions.judge(pin, latest(newest, days), NOW)
    assert found is good
    assert good or newest in words or pin.commit in words


def test_every_use_is_read(tmp_path: Path) -> None:
    """In workflows and in actions of our own, also one below a folder; our own are none of others."""
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/actions/measure").mkdir(parents=True)
    (tmp_path / ".github/workflows/a.yml").write_text(
        f"    - uses: a/b@{COMMIT} # v1\n    - uses: ./here/x\n    uses: c/d/.github/workflows/e.yaml@v2\n"
    )
    (tmp_path / ".github/actions/measure/action.yaml").write_text(f"  - uses: a/b@{COMMIT} # v1\n")
    assert pinned_actions.read(tmp_path) == [Pin("a/b", COMMIT, "v1"), Pin("c/d", "v2", "")]


def test_ours_are_pinned_with_a_version() -> None:
    """And the time to wait is Dependabot's."""
    found = pinned_actions.read(ROOT)
    assert len(found) >= 3
    assert all(pin.is_pinned and pin.version.startswith("v") for pin in found)
    assert f"default-days: {pinned_actions.COOLDOWN.days}" in (ROOT / ".github/dependabot.yml").read_text()
