"""Text of others on its way to a reader: one function for each place, and nothing of theirs is shown without one of them.

`line` and `lines` for a terminal or a job's log, `command` for an annotation of Actions; `utils.show.markdown` has those for comments.
"""

from __future__ import annotations

import re
import unicodedata

from matrix.secrets import redacted

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_BLANK = re.compile(r"\s|[\x1c-\x1f\x85\u2028\u2029]")
_BREAK = re.compile(r"\r\n|[\n\r\x0b\x0c]")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode's categories of what has no shape: controls, formats (joiners, directions, tags), private, surrogates, nothing."""
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that are shown as nothing."""


def visible(text: str) -> str:
    """One line of what a reader would see, without secrets: no control, no invisible letter, which could split a token in two."""
    text = _BLANK.sub(" ", _ANSI.sub("", text))
    text = _FILLERS.sub("", text)
    return redacted("".join(letter for letter in text if unicodedata.category(letter) not in _UNSEEN))


def line(text: str) -> str:
    """One line of a log: neither of Actions' marks for a command begins in it."""
    shown = visible(text).replace("##[", "# #[")
    return f"| {shown}" if shown.lstrip().startswith("::") else shown


def lines(text: str) -> str:
    """Several lines of a log, each as `line`."""
    return "\n".join(map(line, _BREAK.split(text)))


def command(name: str, text: str, **values: object) -> str:
    """A command of Actions, whose text and values are only that.

    Args:
        name: such as `error`.
        text: what it says.
        values: such as file and line.
    """
    said = ",".join(f"{key}={_value(str(value))}" for key, value in values.items())
    body = "%0A".join(_escaped(visible(one)) for one in _BREAK.split(text))
    return f"::{name} {said}::{body}\n" if said else f"::{name}::{body}\n"


def _escaped(text: str) -> str:
    return text.replace("%", "%25")


def _value(text: str) -> str:
    return _escaped(visible(text)).replace(":", "%3A").replace(",", "%2C")
