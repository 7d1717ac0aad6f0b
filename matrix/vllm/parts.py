"""What is wrong with the parts of a JSON flag, such as compilation-config: names and types, as vLLM's configuration has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matrix.errors import nearest

if TYPE_CHECKING:
    from matrix.vllm.vocabulary import Flag, Scalar

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "list": "a list",
    "json": "a mapping",
}


_ALSO_TEXT = "ir_op_priority"
"""Lists of which one word will do, there and in the flag of that name."""
RENAMED = {
    "compilation-config": {
        "level": "mode",
        "full_cuda_graph": "cudagraph_mode: FULL",
        "use_cudagraph": "cudagraph_mode: NONE, or leave it out",
        "use_inductor": "backend: eager, or leave it out",
    }
}
"""Flag -> what an old vLLM called a part -> what to write."""


def of_json(flag: Flag, name: str, value: object) -> str | None:
    """Of a JSON flag's whole value: a mapping, or its text."""
    if isinstance(value, str):
        return None if flag.text or value in {"", "None"} else _of_text(flag, name, value)
    if isinstance(value, dict):
        return _below(flag, name, value, "")
    if flag.fields:
        return f"{name!r} takes a mapping (key: value), not {json.dumps(value, default=str)[:60]}"
    return None


def _of_text(flag: Flag, name: str, text: str) -> str | None:
    """Of JSON that a recipe has as text, as vLLM's own pages show it."""
    try:
        value = json.loads(text)
    except ValueError:
        return f"{name!r} takes a mapping (key: value), and this text is not the JSON of one: {text[:60]!r}"
    return of_json(flag, name, value)


def of_part(flag: Flag, name: str, part: str, value: object, *, inside: bool = False) -> str | None:
    """Of one part by its dotted name; what is deeper than the vocabulary is not looked at.

    Args:
        flag: the whole, of which it is a part.
        name: the flag's.
        part: below it.
        value: of the recipe.
        inside: it is inside of a mapping, where vLLM does not read a text of JSON as it does behind a dotted name.
    """
    if not flag.fields:
        return None
    kind = flag.fields.get(part)
    if kind is None:
        outer = part.rpartition(".")[0]
        open_above = any(flag.fields.get(one) in ("json", "any") for one in _above(part))
        deeper = open_above and not _has_fields(flag, outer)
        if deeper or flag.more:
            return None
        known = [one for one in flag.fields if one.rpartition(".")[0] == outer]
        if renamed := RENAMED.get(name, {}).get(part):
            return f"{name!r} has no part {part!r}; write {renamed}"
        hint = part.replace("-", "_") if part.replace("-", "_") in flag.fields else ""
        told = (
            f"did you mean {hint!r}?"
            if hint
            else nearest(part, known) or f"known: {', '.join(sorted(known))}"
        )
        return f"{name!r} has no part {part!r}; {told}"
    if isinstance(value, dict) and kind == "json":
        return _below(flag, name, value, f"{part}.")
    where = f"{name}.{part}"
    return (_listed(where, kind, value) if inside else None) or _of_kind(where, kind, value)


def _listed(where: str, kind: str | list[Scalar], value: object) -> str | None:
    """A list that a mapping has as one text."""
    if kind != "list" or not isinstance(value, str) or _takes_text(where):
        return None
    listed = _of_text_or_as_it_is(value)
    if not isinstance(listed, list):
        return None
    return f"{where!r} takes a list: write {json.dumps(listed)[:60]} without quotes around it"


def _below(flag: Flag, name: str, values: dict[str, object], prefix: str) -> str | None:
    if prefix and not _has_fields(flag, prefix[:-1]):
        return None
    found = (of_part(flag, name, f"{prefix}{key}", value, inside=True) for key, value in values.items())
    return next((one for one in found if one), None)


def _has_fields(flag: Flag, part: str) -> bool:
    return not part or any(one.startswith(f"{part}.") for one in flag.fields)


def _above(part: str) -> list[str]:
    steps = part.split(".")
    return [".".join(steps[:count]) for count in range(1, len(steps))]


def _of_kind(where: str, kind: str | list[Scalar], value: object) -> str | None:
    """Numbers and words are told from each other, no more: pydantic takes the text of a number for it."""
    if isinstance(kind, list):
        texts = {str(one).lower() for one in kind}
        if value is None or str(value).lower() in texts or (isinstance(value, str) and "." in value):
            return None
        hint = nearest(str(value), map(str, kind)) or nearest(str(value).upper(), map(str, kind))
        return f"{where!r} cannot be {value!r}; {hint or 'it is one of ' + ', '.join(map(str, kind[:12]))}"
    if value is None or kind not in _WORDS or (kind == "list" and _takes_text(where)):
        return None
    text = str(value).lower()
    if kind in {"list", "json"}:
        fits = isinstance(_of_text_or_as_it_is(value), list if kind == "list" else dict)
    elif kind == "bool":
        fits = isinstance(value, bool) or text in {"0", "1", "true", "false"}
    else:
        fits = not isinstance(value, bool) and _is_number(text)
    return None if fits else f"{where!r} takes {_WORDS[kind]}, not {json.dumps(value, default=str)[:60]}"


def _takes_text(where: str) -> bool:
    return _ALSO_TEXT in where.replace("-", "_")


def _of_text_or_as_it_is(value: object) -> object:
    """Behind a dotted name vLLM reads the text of JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _is_number(text: str) -> bool:
    try:
        float(text[:-1] if text[-1:] in "kmgt" else text)
    except ValueError:
        return False
    return True
