"""`/sweep …` in a comment of a pull request: a strict parser. What it returns is safe to hand on; the text itself never is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from matrix.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

Verb = Literal["plan", "run", "rerun", "cancel", "help"]
VERBS: dict[Verb, str] = {
    "plan": "what would run: `/sweep plan [SELECTOR…] [option=value…]`",
    "run": "measure a commit: `/sweep run SHA [SELECTOR…] [option=value…]`",
    "rerun": "measure the broken blocks of the last sweep again: `/sweep rerun`",
    "cancel": "end the sweeps of this pull request: `/sweep cancel`",
    "help": "this list",
}
LONGEST = 500
"""Letters of a command; a longer line is no command that a person types."""
_SELECTOR = re.compile(r"[a-z0-9*?\[][a-z0-9*?\[\]!._/-]*")
_SHA = re.compile(r"[0-9a-f]{40}")
_BASE = re.compile(r"(entry=(\d{1,9}|latest)|kernel=off|[A-Za-z0-9][A-Za-z0-9._/-]{0,99})")


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked for."""

    verb: Verb
    sha: str = ""
    """40 hex of the commit to measure: fewer digits can be found for another commit."""
    selectors: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    """runs, pair, budget; each checked."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A command that cannot be taken, with one sentence that helps."""

    sentence: str


def _runs(value: str) -> str | None:
    return (
        None
        if value in {"2", "4"}
        else f"`runs={value}` cannot be: two or four runs an arm are balanced against drift"
    )


def _pair(value: str) -> str | None:
    if _BASE.fullmatch(value) and ".." not in value:
        return None
    return f"`pair={value}` cannot be: name a revision, `entry=N`, `kernel=off` or another recipe"


def _budget(value: str) -> str | None:
    good = re.fullmatch(r"\d{1,4}(\.\d{1,2})?", value) and float(value) > 0
    return None if good else f"`budget={value}` cannot be: give node-hours, such as `budget=12`"


OPTIONS: dict[str, Callable[[str], str | None]] = {"runs": _runs, "pair": _pair, "budget": _budget}
"""Name -> what is wrong with a value, or None."""


def parse(body: str) -> Command | Mistake | None:
    """Read a comment; None where it is no command.

    A command is a comment's first line that says something, and it is alone: text below it is a mistake, so that a quoted
    or pasted command starts nothing.
    """
    lines = [line.strip() for line in body.replace("\r", "\n").split("\n") if line.strip()]
    if not lines or not re.match(r"/sweep(\s|$)", lines[0]):
        return None
    if len(lines) > 1:
        return Mistake("a command must be alone in its comment; take out the other lines")
    if len(lines[0]) > LONGEST:
        return Mistake(f"a command has at most {LONGEST} letters; select points by fewer or shorter patterns")
    _, *words = lines[0].split()
    verb = next((one for one in VERBS if words and one == words[0]), None)
    if verb is not None:
        return _arguments(verb, words[1:])
    if words:
        return Mistake(f"there is no `/sweep {_shown(words[0])}`; {did_you_mean(words[0], VERBS)}")
    return Mistake(f"say what to do: {', '.join(f'`/sweep {one}`' for one in VERBS)}")


def _arguments(verb: Verb, words: list[str]) -> Command | Mistake:
    """What comes after the verb."""
    if verb in {"rerun", "cancel", "help"}:
        return (
            Command(verb) if not words else Mistake(f"`/sweep {verb}` takes no arguments; comment it alone")
        )
    sha = ""
    if verb == "run":
        sha, *words = words or [""]
        if not _SHA.fullmatch(sha):
            return Mistake(
                "`/sweep run` needs the commit first, all 40 of its hex digits, as the plan's comment shows them"
            )
    options: dict[str, str] = {}
    selectors = [word for word in words if "=" not in word]
    wrong = [text for word in selectors if (text := _wrong_selector(word))]
    for word in words:
        name, equals, value = word.partition("=")
        if equals and (text := _wrong_option(name, value, options)):
            wrong.append(text)
        elif equals:
            options[name] = value
    return Mistake(wrong[0]) if wrong else Command(verb, sha, tuple(selectors), options)


def _wrong_selector(word: str) -> str:
    if _SELECTOR.fullmatch(word):
        return ""
    return f"`{_shown(word)}` is no selector: a recipe's name, or a pattern such as `minimaxm3-*/8k1k-*`"


def _wrong_option(name: str, value: str, known: dict[str, str]) -> str:
    if name not in OPTIONS:
        return f"there is no option `{_shown(name)}`; {did_you_mean(name, OPTIONS)}"
    if name in known:
        return f"`{name}` is there twice; write it once"
    if not re.fullmatch(r"[A-Za-z0-9._=/-]{1,100}", value):
        return f"the value of `{name}` may have letters, digits and ._=/- only, at most 100"
    return OPTIONS[name](value) or ""


def _shown(word: str) -> str:
    """A word of somebody else in an answer of ours: no markup, no mention."""
    return re.sub(r"[^A-Za-z0-9._/-]", "?", word)[:40]


def help_text() -> str:
    """What `/sweep help` answers."""
    lines = [f"- {text}" for text in VERBS.values()]
    options = "options: `runs=2` or `4` an arm; `pair=BASE` (a revision, `entry=N`, `kernel=off`, a recipe; default: the merge base); `budget=HOURS`"
    return "\n".join([*lines, f"- {options}", "- only people with write access can give commands"])
