"""What a tree may hold before anything in it is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from matrix.source import Folder, Revision, commit_of

pytestmark = pytest.mark.hostile

HIDDEN = (
    "x\n::add-mask::a.yaml",
    "x\r.yaml",
    "x\x1b[31m.yaml",
    "x\u202ey.yaml",
    "x\u200by.yaml",
    "x\u2028y.yaml",
    "x\x7f.yaml",
    "x\udcff.yaml",
    "\u00a0.yaml",
)


@pytest.mark.parametrize("name", HIDDEN, ids=ascii)
def test_names_that_cannot_be_shown_are_refused_at_the_door(tmp_path: Path, name: str) -> None:
    """A name could speak as a command of Actions, or read otherwise than it is: the error shows it as plain letters."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / name).write_text("x")
    git("init", "-q", tmp_path)
    git("-C", tmp_path, "add", ".")
    git("-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    for source in (Folder(tmp_path), Revision(tmp_path, "HEAD")):
        with pytest.raises(HarnessError) as caught:
            source.files("recipes")
        assert caught.value.exit_code is Exit.RECIPE_UNREADABLE
        text = str(caught.value)
        assert text.isprintable()
        assert text.isascii()
        assert "cannot be shown" in text


def test_a_hook_of_another_repository_does_not_name_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git tells its hooks which repository is theirs, by variables that win over the folder."""
    for name in ("ours", "theirs"):
        git("init", "-q", "-b", "main", tmp_path / name)
        git(
            "-C",
            tmp_path / name,
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-qm",
            name,
            "--allow-empty",
        )
    wanted = commit_of(tmp_path / "ours", "main")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "theirs/.git/index"))
    assert commit_of(tmp_path / "ours", "main") == wanted


def git(*words: object) -> None:
    """As a person does."""
    subprocess.run(["git", *map(str, words)], check=True, capture_output=True)


def test_an_unknown_revision_is_told_by_gits_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever words git has for it; a git that cannot answer at all is another error."""
    real = shutil.which("git")
    assert real
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\n{real} "$@" 2>{tmp_path}/said && exit 0\nrc=$?\necho "other words" >&2\nexit $rc\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    folder = tmp_path / "clone"
    subprocess.run([real, "init", "-q", str(folder)], check=True)
    with pytest.raises(HarnessError, match="git knows no revision 'nosuch' here") as unknown:
        commit_of(folder, "nosuch")
    assert unknown.value.exit_code is Exit.USAGE
    with pytest.raises(HarnessError, match="other words") as none:
        commit_of(tmp_path, "nosuch")
    assert none.value.exit_code is Exit.SETUP_FAILED
