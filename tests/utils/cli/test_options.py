"""Options that nobody knows, and help pages in a narrow terminal."""

from __future__ import annotations

import pytest

from matrix.errors import Exit
from utils.cli import main
from utils.cli.verbs import VERBS


def end(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main.parsed(words)
    assert caught.value.code == Exit.USAGE
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "--chnged", "main"], "plan has no option --chnged; did you mean '--changed'?"),
        (["run", "--budgt=3"], "run has no option --budgt; did you mean '--budget'?"),
        (["run", "r", "--dry-run"], "plan shows what would run"),
        (["run", "r", "--output", "x"], "did you mean '--out'?"),
        (["collect", "x", "--json"], "did you mean '--format json'?"),
        (["ledger", "show", "--ledgr", "x"], "did you mean '--ledger'?"),
        (["plan", "--zzz"], "plan has no option --zzz; all of them: ./servematrix plan --help"),
    ],
)
def test_an_unknown_option_gets_the_one_that_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, which says where all of them are."""
    text = end(words, capsys)
    assert said in text
    assert len(text.splitlines()) == 1


def test_other_mistakes_keep_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is missing, a choice that is none."""
    assert "usage: servematrix plan" in end(["plan", "--runs"], capsys)
    assert "invalid choice" in end(["plan", "--format", "xml"], capsys)


SECOND = [("changelog", one) for one in ("add", "show", "check", "rebase")] + [
    ("ledger", one) for one in ("show", "add", "reset", "accept")
]


@pytest.mark.parametrize("words", [*((verb,) for verb in VERBS), *SECOND], ids=" ".join)
def test_a_help_page_fits_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except examples, which are commands to copy."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main.parsed([*words, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("example:")] == []
