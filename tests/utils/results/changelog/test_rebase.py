"""Changelogs that grew apart: git merges what it can, and `changelog rebase` the rest; real merges over random histories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import Exit, HarnessError
from tests.conftest import Cli, commit, run_git
from utils.results.changelog import entries as changelog
from utils.results.changelog.rebase import rebase

KEY = "3f" * 8
RECIPES = ("a-vllm", "b-vllm", "c-vllm", "d-vllm")


def entry(pr: int, *, figures: bool = True) -> str:
    """An entry with a remark of its author, with figures or waiting for them."""
    words = f"- pr: {pr}   # by hand\n  title: Change {pr}\n  why: [because]\n"
    facts = f"  date: 2026-06-15\n  head: {{commit: c{pr:039x}, image: i, vllm: v, device: d}}\n  points:\n"
    line = f'    1k1k-tp1-c1: {{key: "k1:{KEY}", tput: {pr}, ttft: 1, tpot: 1, n: 2+2}}\n'
    return words + (facts + line if figures else "")


def written(sections: dict[str, list[str]]) -> str:
    return "# remarks\n" + "".join(
        f"{name}:\n{''.join(sections[name])}" for name in sorted(sections) if sections[name]
    )


def merged(folder: Path, base: str, ours: str, theirs: str) -> tuple[bool, str]:
    """Whether a real `git merge` of two branches goes through, and what it leaves."""
    run_git(folder, "init", "--quiet", "-b", "main")
    file = folder / changelog.FILE
    for branch, text in (("main", base), ("ours", ours), ("theirs", theirs)):
        if branch != "main":
            run_git(folder, "checkout", "--quiet", "-b", branch, "main")
        file.write_text(text)
        (folder / branch).write_text(branch)
        commit(folder, branch)
    run_git(folder, "checkout", "--quiet", "ours")
    command = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@e.org",
        "merge",
        "--quiet",
        "theirs",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, file.read_text()


HISTORIES = st.fixed_dictionaries({recipe: st.integers(1, 3) for recipe in RECIPES})


@settings(max_examples=15, deadline=None)
@given(HISTORIES, st.lists(st.sampled_from(RECIPES), min_size=2, max_size=2, unique=True), st.integers(1, 2))
def test_changes_to_different_recipes_merge(
    tmp_path_factory: pytest.TempPathFactory, have: dict[str, int], two: list[str], more: int
) -> None:
    """Whatever stands in their sections, as long as both have one: git itself, and the result is in order."""
    base = {
        name: [entry(100 * n + i) for i in range(count, 0, -1)]
        for n, (name, count) in enumerate(have.items(), 1)
    }
    ours = base | {two[0]: [*[entry(1000 + i) for i in range(more)], *base[two[0]]]}
    theirs = base | {two[1]: [entry(2000), *base[two[1]]]}
    good, text = merged(tmp_path_factory.mktemp("merge"), written(base), written(ours), written(theirs))
    assert good
    log = changelog.read(text.encode())
    assert [one.pr for one in log.root[two[0]]][:more] == [1000 + i for i in range(more)]
    assert log.root[two[1]][0].pr == 2000


@settings(max_examples=40, deadline=None)
@given(HISTORIES, st.sampled_from(RECIPES), st.sampled_from(RECIPES), st.booleans(), st.booleans())
def test_what_git_cannot_merge_rebase_does(
    have: dict[str, int],
    one: str,
    other: str,
    new: bool,  # noqa: FBT001 - drawn
    figures: bool,  # noqa: FBT001 - drawn
) -> None:
    """The same recipe, or new sections at one place: theirs to the letter, ours on top; figures only where the section did not move."""
    base = {
        name: [entry(100 * n + i) for i in range(count, 0, -1)]
        for n, (name, count) in enumerate(have.items(), 1)
    }
    mine, yours = (f"{one}-new", f"{other}-newer") if new else (one, other)
    ours = base | {mine: [entry(1000, figures=figures), *base.get(mine, [])]}
    theirs = base | {yours: [entry(2000), *base.get(yours, [])]}
    text = rebase(written(base).encode(), written(ours).encode(), written(theirs).encode(), "f" * 40)
    log = changelog.read(text.encode()).root
    first = log[mine][0]
    assert first.pr == 1000
    assert "- pr: 1000   # by hand\n" in text
    same = mine == yours
    assert bool(first.points) is (figures and not same)
    assert bool(first.stale) is (figures and same)
    assert all(line in text for line in written(theirs).splitlines(keepends=True))
    assert rebase(written(theirs).encode(), text.encode(), written(theirs).encode(), "f" * 40) == text


def test_one_entry_changed_on_both_sides_is_for_a_person() -> None:
    """Named, and nothing is lost."""
    base = written({"r": [entry(1)]})
    ours, theirs = base.replace("Change 1", "Ours"), base.replace("Change 1", "Theirs")
    with pytest.raises(HarnessError, match="both sides changed the entry #1 of r") as caught:
        rebase(base.encode(), ours.encode(), theirs.encode(), "f" * 40)
    assert caught.value.exit_code is Exit.CHANGELOG_INVALID
    assert rebase(base.encode(), ours.encode(), base.encode(), "f" * 40) == ours


def test_the_command_in_a_merge_that_stopped(cli: Cli, tmp_path: Path) -> None:
    """It takes the sides from git, and leaves a file that can be added; without a merge it wants to be told."""
    base = {"r": [entry(1)]}
    folder = tmp_path / "repository"
    folder.mkdir()
    good, text = merged(
        folder, written(base), written({"r": [entry(10), entry(1)]}), written({"r": [entry(20), entry(1)]})
    )
    assert not good
    assert "<<<<<<<" in text
    file = str(folder / changelog.FILE)
    done = cli("changelog", "rebase", "--file", file)
    assert done.returncode == 0, done.stderr
    assert "onto MERGE_HEAD; 1 entries wait to be measured again" in done.stdout
    assert [one.pr for one in changelog.read(Path(file).read_bytes()).root["r"]] == [10, 20, 1]
    commit(folder, "merged")
    assert cli("changelog", "rebase", "--file", file).returncode == Exit.USAGE
    assert cli("changelog", "rebase", "main", "--file", file).returncode == 0
