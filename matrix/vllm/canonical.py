"""Equal meanings written alike, so that they have one key: a mapping for a JSON text, a number for 1k, a choice as vLLM spells it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matrix.vllm.vocabulary import Flag, Vocabulary

_THOUSANDS = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kmgtKMGT])")


def canonical(vocabulary: Vocabulary, name: str, value: object) -> object:
    """A recipe's value as it goes to the server; one that this version does not know stays as it is."""
    flag = vocabulary.flag(name)
    if flag is None or value is None or isinstance(value, bool):
        return value
    if flag.type == "json":
        return _mapping(value)
    if flag.type == "list":
        one = flag.model_copy(update={"type": flag.of or "str"})
        return [_plain(one, element) for element in (value if isinstance(value, list) else [value])]
    return _plain(flag, value)


def is_default(vocabulary: Vocabulary, name: str, value: object) -> bool:
    """Whether it says what vLLM does anyway, on every device; only known of the version itself."""
    flag = vocabulary.flag(name)
    if flag is None or not vocabulary.exact or flag.default is None or flag.platform:
        return False
    return type(flag.default) is type(value) and flag.default == value


def _mapping(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, dict | list) else value


def _plain(flag: Flag, value: object) -> object:
    text = str(value).strip()
    if flag.type == "int":
        return _whole(flag, text, value)
    if flag.type == "float":
        try:
            return float(text)
        except ValueError:
            return value
    if flag.any_case and isinstance(value, str):
        return next((one for one in flag.choices if str(one).lower() == text.lower()), value)
    return value


def _whole(flag: Flag, text: str, value: object) -> object:
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if flag.human and (match := _HUMAN.fullmatch(text)):
        number, unit = match.groups()
        power = " KMGT".index(unit.upper())
        size = 1024**power if unit.isupper() else _THOUSANDS[unit]
        return int(float(number) * size)
    return value
