"""A comment fits into what GitHub takes."""

from __future__ import annotations

from utils.github import comments


def test_a_comment_larger_than_github_takes_loses_folded_parts() -> None:
    """The first stays; what is left out is told."""
    text = comments.fitted(["first\n", "x" * 70_000, "last\n"])
    assert text.startswith("first\nlast\n")
    assert "1 folded parts are too large" in text
    assert len(text) <= comments.LARGEST
