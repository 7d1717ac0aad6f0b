"""`/sweep …`: what is understood, what is refused with one sentence, and that nothing else is let through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.sweeps.command import Command, Mistake, help_text, parse

SHA = "1a2b3c4d5e" * 4


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("/sweep plan", Command("plan")),
        ("\n  /sweep plan a*/8k1k-*  \n", Command("plan", selectors=("a*/8k1k-*",))),
        (f"/sweep run {SHA}", Command("run", SHA)),
        (
            f"/sweep run {SHA} minimaxm3-fp8-mi300x-vllm runs=4 pair=main budget=12.5",
            Command(
                "run", SHA, ("minimaxm3-fp8-mi300x-vllm",), {"runs": "4", "pair": "main", "budget": "12.5"}
            ),
        ),
        (f"/sweep run {SHA} pair=kernel=off", Command("run", SHA, (), {"pair": "kernel=off"})),
        (f"/sweep run {SHA} pair=entry=42", Command("run", SHA, (), {"pair": "entry=42"})),
        ("/sweep rerun", Command("rerun")),
        ("/sweep cancel\r\n", Command("cancel")),
        ("/sweep help", Command("help")),
    ],
)
def test_commands_that_are_understood(body: str, wanted: Command) -> None:
    """Each verb, with what it takes."""
    assert parse(body) == wanted


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("/sweep", "say what to do"),
        ("/sweep runn 1a2b3c4", "did you mean 'run'?"),
        ("/sweep run", "needs the commit first"),
        ("/sweep run main", "needs the commit first"),
        ("/sweep run HEAD~1", "needs the commit first"),
        (f"/sweep run {SHA} runs=3", "balanced against drift"),
        (f"/sweep run {SHA} run=4", "did you mean 'runs'?"),
        (f"/sweep run {SHA} runs=4 runs=2", "is there twice; write it once"),
        (f"/sweep run {SHA} pair=--upload-pack=x", "cannot be"),
        (f"/sweep run {SHA} pair=$(id)", "may have letters, digits"),
        (f"/sweep run {SHA} pair=a..b", "cannot be"),
        (f"/sweep run {SHA} budget=-1", "node-hours"),
        (f"/sweep run {SHA} budget=inf", "node-hours"),
        (f"/sweep run {SHA} $(id)", "is no selector"),
        (f"/sweep run {SHA} --tree=/", "there is no option"),
        (f"/sweep run {SHA} -x", "is no selector"),
        ("/sweep cancel now", "takes no arguments; comment it alone"),
        ("/sweep plan\nplease", "must be alone"),
        ("/sweep plan " + "a " * 400, "at most 500 letters; select points by fewer"),
    ],
)
def test_a_mistake_gets_one_helpful_sentence(body: str, says: str) -> None:
    """With what was wrong, and what would have been right."""
    answer = parse(body)
    assert isinstance(answer, Mistake)
    assert says in answer.sentence
    assert "\n" not in answer.sentence


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "> /sweep run 1a2b3c4",
        "see /sweep plan",
        "/sweeping plan",
        "`/sweep plan`",
        "/Sweep plan",
    ],
)
def test_what_is_no_command_is_no_mistake(body: str) -> None:
    """A quoted command, or a word in a sentence, starts nothing and answers nothing."""
    assert parse(body) is None


@given(st.text(alphabet=st.characters(min_codepoint=9, max_codepoint=0x2FF), max_size=80))
def test_whatever_stands_behind_it_is_either_safe_or_refused(text: str) -> None:
    """No value of an accepted command has a letter that a shell, an option or Markdown would read; no answer repeats one."""
    answer = parse(f"/sweep run {SHA} {text}")
    assert answer is not None
    if isinstance(answer, Mistake):
        assert not re.search(r"[@<>]|\]\(|\$\(", answer.sentence)
    else:
        values = [*answer.selectors, *answer.options.values()]
        assert all(
            re.fullmatch(r"[A-Za-z0-9*?\[\]!._/=-]+", value) and not value.startswith("-") for value in values
        )


def test_help_names_every_verb_and_option() -> None:
    """From the same tables."""
    for word in ("plan", "run SHA", "rerun", "cancel", "runs=", "pair=", "budget="):
        assert word in help_text()
