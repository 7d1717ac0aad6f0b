"""docs/architecture.md says of each module outside of their packages why it knows Slurm or vLLM."""

from __future__ import annotations

import re

import pytest

from benchmarks.names import OWN, knows, modules
from tests.conftest import ROOT

MOST = {"slurm": 11, "vllm": 31}
"""These only go down: move what a module knows into the packages, then lower the number."""


@pytest.mark.parametrize("word", OWN)
def test_each_module_that_knows_is_in_the_page(word: str) -> None:
    """And the page names no other; there are no more than there were."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.split(f"<!-- knows {word} -->")[1].split("<!-- end -->")[0]
    found = modules(word)
    assert sorted(re.findall(r"`([\w/]+\.py)`", section)) == found
    assert len(found) <= MOST[word]


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
