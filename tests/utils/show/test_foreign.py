"""Text of others in a log: no command of Actions, no control sequence, no secret."""

from __future__ import annotations

import re

import pytest

from matrix.errors import Exit, HarnessError, Place, Problem
from utils.cli import main
from utils.show import foreign

pytestmark = pytest.mark.hostile

COMMANDS = (
    "::add-mask::a", "  ::error::x", "\t::set-output name=count::0", "x\n::stop-commands::y", "x\r::warning::y", "x\r\n::group::y",
    "x\x0b::error::y", "x\x0c::error::y", "\x1b[0m::error::y", "\u200b::error::y", "\x00::error::y", "\ufeff::error::y", "\u2060 ::error::y",
    "##[error]x", "x ##[set-output name=count]0", "#\u200b#[error]x", "x\u2028::error::y", "x\x85::error::y",
)  # fmt: skip


def commands(text: str) -> list[str]:
    """Lines that Actions takes as commands: what its runner looks for in each line of both streams."""
    return [line for line in re.split(r"[\r\n]", text) if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("text", COMMANDS, ids=ascii)
def test_no_line_is_a_command(text: str) -> None:
    """Neither as one line nor as several, however it is hidden."""
    assert commands(foreign.lines(text)) == []
    assert commands(foreign.line(text)) == []


@pytest.mark.parametrize("text", COMMANDS, ids=ascii)
def test_a_command_of_ours_is_one(text: str) -> None:
    """Text and values of others are text and values, also in the name of a file."""
    made = foreign.command("error", text, file=text, line=1)
    assert made.count("\n") == 1
    assert "\r" not in made
    assert re.match(r"::error file=[^:,\n]*,line=1::", made)


@pytest.mark.parametrize("text", COMMANDS, ids=ascii)
def test_an_error_of_a_recipe_is_one_annotation(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Actions, by the command line: whatever the file's name and the problem are, on both streams."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    main._say(HarnessError(Exit.RECIPE_INVALID, text, [Problem(Place(text, 1, 1), text)]))
    out, err = capsys.readouterr()
    assert [line.startswith("::error file=") for line in commands(out)] == [True]
    assert commands(err) == []
