"""JSON flags: a mapping and its parts by dotted names are one thing, and parts are written as vLLM's configuration has them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix.vllm.canonical import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.vllm.vocabulary import Flag, Scalar, Vocabulary

Said = dict[str, object]
_STEP = re.compile(r"[A-Za-z0-9_-]+")
_MODES = {"NONE": 0, "STOCK_TORCH_COMPILE": 1, "DYNAMO_TRACE_ONCE": 2, "VLLM_COMPILE": 3}
"""Names and numbers of compilation-config.mode; vLLM takes both, in any letters."""
_SWITCH = {"0": False, "false": False, "1": True, "true": True}


def joined(vocabulary: Vocabulary | None, flags: Mapping[str, object]) -> Said:
    """Flags with parts of dotted names laid into mappings, as vLLM does with its command line.

    VLLM takes every text there for a number or a switch that looks like one; where a text is wanted, it stays one here.
    """
    found: Said = {name: value for name, value in flags.items() if "." not in name}
    for name, value in sorted(flags.items()):
        whole, _, part = name.partition(".")
        if part and isinstance(found.get(whole, {}), dict):
            flag = vocabulary.flag(whole) if vocabulary else None
            text = flag is not None and flag.fields.get(part) == "str"
            _lay(found, name.split("."), _text(value) if text else _read(value))
        elif part:
            found[name] = value
    return found


def split(name: str, value: Said) -> tuple[str, object]:
    """A mapping of a single plain part as that part's dotted name and its value; any other one as it is."""
    steps: list[str] = [name]
    inner: object = value
    while isinstance(inner, dict) and len(inner) == 1:
        ((step, below),) = inner.items()
        if not _STEP.fullmatch(step):
            return name, value
        steps.append(step)
        inner = below
    plain = isinstance(inner, int | float | str) and not isinstance(inner, bool)
    read_back = _read(str(inner)) if plain else None
    same = plain and type(read_back) is type(inner) and read_back == inner
    return (".".join(steps), inner) if same else (name, value)


def fitted(flag: Flag, name: str, values: Said, above: str = "") -> Said:
    """A mapping with numbers for texts of them, true for "true", and choices as vLLM spells them."""
    found: Said = {}
    for key, value in values.items():
        part = above + key
        kind = flag.fields.get(part)
        if isinstance(value, dict):
            found[key] = fitted(flag, name, value, f"{part}.")
        else:
            found[key] = value if kind is None else _of_kind(f"{name}.{part}", kind, value)
    return found


def _lay(into: Said, steps: list[str], value: object) -> None:
    """A value at its place; mappings above it are copied, for they may be a recipe's own."""
    for step in steps[:-1]:
        there = into.get(step)
        below: Said = dict(there) if isinstance(there, dict) else {}
        into[step] = below
        into = below
    there = into.get(steps[-1])
    both = isinstance(there, dict) and isinstance(value, dict)
    into[steps[-1]] = {**there, **value} if both else value  # type: ignore[dict-item]


def _read(value: object) -> object:
    """What vLLM reads after a dotted name: JSON, a number such as 1k or 1_000, else a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return int(value)
    except ValueError:
        return number("int", value, human=True)


def _text(value: object) -> object:
    """The same where a text is wanted: one in quotes, or null; what else it could be stays the text."""
    found = _read(value)
    return found if found is None or isinstance(found, str) else value


def _of_kind(where: str, kind: str | list[Scalar], value: object) -> object:
    if value is None:
        return None
    if isinstance(kind, list):
        same = [one for one in kind if str(one).lower() == str(value).strip().lower()]
        spelt = same[0] if len(same) == 1 else value
        return _MODES.get(str(spelt), spelt) if where == "compilation-config.mode" else spelt
    if kind == "bool" and isinstance(value, int | str):
        return _SWITCH.get(str(value).strip().lower(), value)
    if kind in {"int", "float"} and isinstance(value, int | float | str) and not isinstance(value, bool):
        whole = isinstance(value, float) and value.is_integer()
        return number(kind, int(value) if kind == "int" and whole else value, human=True)
    return value
