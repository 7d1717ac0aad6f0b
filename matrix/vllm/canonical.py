"""One value of a flag or a variable, written alike where it means alike: a number for 1k, a choice as vLLM spells it, 1 for true."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix.vllm.env_mistakes import OFF, takes_spaces
from matrix.words import DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.vllm.vocabulary import Flag, Scalar, Variable, Vocabulary

NOTHING = ("", "None")
"""VLLM's words for a flag that is not given."""
_THOUSANDS = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kmgtKMGT])")


def canonical(vocabulary: Vocabulary, name: str, value: object) -> object:
    """A recipe's value as it goes to the server; one that this version does not know stays as it is."""
    flag = vocabulary.flag(name)
    if flag is None or value is None or isinstance(value, bool):
        return value
    if is_nothing(flag, value):
        return None
    if flag.type == "json":
        return mapping(value)
    if flag.type == "list":
        one = flag.model_copy(update={"type": flag.of or "str"})
        return [_plain(one, element) for element in (value if isinstance(value, list) else [value])]
    return _plain(flag, value)


def flag_text(value: object, *, words: bool = False) -> str | bool | list[str]:
    """A flag's value as the command line has it; a boolean picks the bare or the `--no-` form.

    Args:
        value: as the recipe says it.
        words: whether a list becomes words of its own, as vLLM's list flags want it; else it is JSON.
    """
    if isinstance(value, bool):
        return value
    if words and isinstance(value, list):
        return [str(one) for one in value]
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return str(value)


def is_nothing(flag: Flag, value: object) -> bool:
    """Whether vLLM takes it for a flag that is not given; where a text or a list is wanted, it is one of them."""
    return flag.default is None and not flag.text and flag.type != "list" and value in NOTHING


def is_default(vocabulary: Vocabulary, name: str, value: object) -> bool:
    """Whether it says what vLLM does anyway, on every device; only known of the version itself."""
    flag = vocabulary.flag(name)
    if flag is None or not vocabulary.exact or flag.default is None:
        return False
    if flag.platform and flag.default != "auto":
        return False
    numbers = flag.type == "float" and not isinstance(value, bool)
    return (numbers or type(flag.default) is type(value)) and flag.default == value


def of_variable(variable: Variable, text: str) -> str:
    """A variable's text as vLLM reads it; whether it is set at all stays, for vLLM asks that of some."""
    plain = text.strip()
    if text != plain and takes_spaces(variable):
        return text
    if variable.type == "bool":
        return _switch(variable, plain, text)
    if variable.type in {"int", "float"}:
        return str(number(variable.type, plain))
    if variable.type == "json":
        found = mapping(plain)
        return text if isinstance(found, str) else json.dumps(found, sort_keys=True)
    if variable.type == "list":
        return ",".join(_word(variable, one) for one in plain.split(","))
    return _word(variable, plain) if variable.choices else text


def number(kind: str, value: object, *, human: bool = False) -> object:
    """A number for its text, also for 1k where it may be written so; anything else as it is."""
    text = str(value).strip()
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            return value
    if re.fullmatch(rf"[-+]?\d{{1,{DIGITS}}}", text):
        return int(text)
    if human and (match := _HUMAN.fullmatch(text)):
        digits, unit = match.groups()
        if unit.islower():
            return int(float(digits) * _THOUSANDS[unit])
        return int(digits) * 1024 ** " KMGT".index(unit) if digits.isdigit() else value
    return value


def mapping(value: object) -> object:
    """A mapping or a list for its JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, dict | list) else value


def _plain(flag: Flag, value: object) -> object:
    if flag.type in {"int", "float"}:
        found = number(flag.type, value, human=flag.human)
        dotted = isinstance(found, float) and str(found).startswith("-")
        return value if dotted else found  # vLLM takes -1.0 for the dotted name of a flag
    if flag.choices and isinstance(value, int | str):
        return _choice(flag.choices, value, any_case=flag.any_case)
    return value


def _word(variable: Variable, text: str) -> str:
    return str(_choice(variable.choices, text.strip(), any_case=variable.any_case))


def _choice(choices: Sequence[Scalar], value: Scalar, *, any_case: bool) -> Scalar:
    """The one that is meant; also the number for its text."""
    text = str(value).strip()
    exact = (one for one in choices if str(one) == text)
    alike = (one for one in choices if any_case and str(one).lower() == text.lower())
    return next(exact, next(alike, value))


def _switch(variable: Variable, plain: str, text: str) -> str:
    if variable.strict:
        return text if not plain.isdecimal() else str(int(int(plain) != 0))
    spelt = {one.lower() for one in variable.on if one != "1"}
    if plain in variable.on or plain.lower() in spelt:
        return "1" if "1" in variable.on else variable.on[0]
    off = not variable.undecided and plain.lower() in OFF - {""}
    return "0" if off else text
