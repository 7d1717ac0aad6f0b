"""A digest goes into the file that says the image, and nothing else of it changes."""

from __future__ import annotations

import pytest

from matrix.errors import HarnessError, Place
from matrix.image import parse
from utils.setup.pin import Pin, rewritten

NEW = f"@sha256:{'ab' * 32}"
PIN = Pin(Place("recipes/r.yaml", 2, 1), parse("org/app:1"), parse(f"org/app:1{NEW}"))


@pytest.mark.parametrize(
    "text",
    [
        "image: org/app:1\n",
        "a: 1\nimage: org/app:1",
        "# image: org/app:1\nmodel: org/app:1\nimage:    org/app:1   # as org/app:1 of May\nx: [org/app:1]\n",
        "serve: {env: {image: org/app:1}}\n\"image\": 'org/app:1'\n",
        'image: "org/app:1"\r\nlast: é\r\n',
        "\ufeffdescription: größer als\nimage: !!str org/app:1\n",
        "image: &i org/app:1\nother: *i\n",
        "{model: m, image: org/app:1, list: [image, {image: org/app:1}]}",
        "image:\n  org/app:1\n",
    ],
)
def test_nothing_else_changes(text: str) -> None:
    """Comments, quotes, ends of lines, the same text elsewhere; the other way round it is the file that it was."""
    after = rewritten(text.encode(), PIN).decode()
    assert len(after) == len(text) + len(NEW)
    assert after.replace(NEW, "") == text
    back = Pin(PIN.place, PIN.new, PIN.old)
    assert rewritten(after.encode(), back).decode() == text
    line = next(line for line in after.splitlines() if NEW in line)
    assert f"org/app:1{NEW}" in line


def test_the_right_one_is_written() -> None:
    """The top level's image, whatever comes before."""
    text = "serve: {env: {image: org/app:1}}\nkernel: {image: org/app:1}\nimage: org/app:1\n"
    assert rewritten(text.encode(), PIN).decode().splitlines()[2] == f"image: org/app:1{NEW}"


@pytest.mark.parametrize("text", ["x: &i org/app:1\nimage: *i\n", 'image: "org/\\u0061pp:1"\n', "model: m\n"])
def test_what_is_not_written_out_is_refused(text: str) -> None:
    """With its place, and what to write."""
    with pytest.raises(HarnessError, match=r"recipes/r\.yaml:2:1: the image is not .* write"):
        rewritten(text.encode(), PIN)
