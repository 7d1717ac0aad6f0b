"""docs/architecture.md says of each module outside of their packages why it knows Slurm or vLLM."""

from __future__ import annotations

import itertools
import re

import pytest

from benchmarks.names import OWN, knows, modules, named
from tests.conftest import ROOT

MOST = {"slurm": 11, "vllm": 32}
"""These only go down: move what a module knows into the packages, then lower the number."""
IN_SENTENCES = {"slurm": 3, "vllm": 2}
"""Modules that only name it to people; say server, engine or scheduler where the name adds nothing."""


@pytest.mark.parametrize("word", OWN)
def test_each_module_that_knows_is_in_the_page(word: str) -> None:
    """And the page names no other; there are no more than there were."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.split(f"<!-- knows {word} -->")[1].split("<!-- end -->")[0]
    found = modules(word)
    assert sorted(re.findall(r"`([\w/]+\.py)`", section)) == found
    assert len(found) <= MOST[word]


@pytest.mark.parametrize("word", OWN)
def test_few_others_name_it(word: str) -> None:
    """As the page says."""
    spoken = set(named(word)) - set(modules(word))
    assert len(spoken) == IN_SENTENCES[word], spoken
    title = {"slurm": "Slurm", "vllm": "vLLM"}[word]
    assert (
        f" {IN_SENTENCES[word]} {'modules ' if word == 'slurm' else ''}name {title}"
        in (ROOT / "docs/architecture.md").read_text()
    )


@pytest.mark.parametrize(
    ("text", "is_known"),
    [
        ("from utils.node.vllm import load", True),
        ("def for_slurm(): ...", True),
        ("x = {'vllm': 1}", True),
        ("one.vllm_version", True),
        ("f(vllm=1)", True),
        ("'Slurm and vLLM are meant for people'", False),
        ('"""vLLM"""\n# vLLM\n', True),
        ('"""A docstring of vLLM."""\n# vLLM\n', False),
    ],
)
def test_sentences_do_not_count(text: str, is_known: bool) -> None:  # noqa: FBT001 - from the table
    """A name, an import, a key does."""
    assert any(knows(text, word) for word in OWN) is is_known


NEAR = [("profile", "profiling"), ("record", "recorder"), ("version", "versions")]
"""The verb and how a server does it; the format and what fills it; our own version and those of vLLM."""
ENDINGS = ("ings", "ing", "ers", "er", "ed", "es", "s", "e")


def test_no_two_modules_have_nearly_one_name() -> None:
    """One letter apart, or one word with two endings: whoever looks for one of them would open the other."""
    stems = sorted({path.stem for part in ("matrix", "utils") for path in (ROOT / part).rglob("*.py")})
    near = [
        (one, other)
        for one, other in itertools.combinations(stems, 2)
        if _one_letter(one, other) or _word(one) == _word(other)
    ]
    assert near == NEAR


def _word(stem: str) -> str:
    end = next((end for end in ENDINGS if stem.endswith(end) and len(stem) - len(end) >= 4), "")
    return stem.removesuffix(end)


def _one_letter(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) == len(long):
        return sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return len(long) == len(short) + 1 and any(long[:n] + long[n + 1 :] == short for n in range(len(long)))
