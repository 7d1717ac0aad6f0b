"""What is wrong with a flag in a recipe: a sentence that says what to write. Silent wherever a version may take it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix.errors import nearest
from matrix.vllm import parts
from matrix.vllm.vocabulary import known_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matrix.vllm.vocabulary import Flag, Scalar, Vocabulary

SHOWN = 12
"""So many choices are listed; of more, the nearest one."""
OTHERS = {
    "mem-fraction-static": "gpu-memory-utilization",
    "context-length": "max-model-len",
    "max-running-requests": "max-num-seqs",
    "chunked-prefill-size": "max-num-batched-tokens",
    "disable-radix-cache": "enable-prefix-caching: false",
    "cuda-graph-sizes": "cudagraph-capture-sizes",
    "task": "runner, or convert",
    "disable-log-requests": "nothing: requests are not logged unless enable-log-requests asks for it",
}
"""What SGLang or an old vLLM calls it -> what to write."""
_HUMAN = re.compile(r"\d+[KMGT]|\d+(\.\d+)?[kmgt]")
_NUMBERS = {
    "int": (re.compile(r"[-+]?\d+"), "a whole number"),
    "float": (re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"), "a number"),
}


def of_flag(vocabulary: Vocabulary, name: str, value: object) -> str | None:
    """What is wrong with a recipe's flag and its value, in a sentence; None where nothing is known to be."""
    if "." in name:
        return _dotted(vocabulary, name, value)
    flag = vocabulary.flag(name)
    if flag is None:
        return _unknown(vocabulary, name)
    return None if value is None else _of_value(flag, name, value)


def _unknown(vocabulary: Vocabulary, name: str) -> str:
    """No flag has this name."""
    who = f"vLLM {vocabulary.version} has no flag {name!r}"
    if found := _other_spelling(vocabulary, name):
        return found
    if name in OTHERS:
        return f"{who}; write {OTHERS[name]}"
    if others := known_in("flags", name):
        return f"{who}; {' and '.join(dict.fromkeys((others[0], others[-1])))} had it"
    meant = vocabulary.suggest(name)
    return f"{who}; did you mean {meant!r}?" if meant else who


def _other_spelling(vocabulary: Vocabulary, name: str) -> str | None:
    """VLLM would take the name, or a person reads it as one; a recipe has one spelling a flag."""
    positive = name.removeprefix("no-")
    if positive != name and (flag := vocabulary.flag(positive)):
        return (
            f"write {positive}: false instead of {name}"
            if flag.no
            else f"{positive} has no `no-` form; leave it out"
        )
    if off := next((one for one, flag in vocabulary.file.flags.items() if name in flag.opposites), None):
        return f"write {off}: false instead of {name}: true"
    begun = sorted({vocabulary.names[one] for one in vocabulary.names if one.startswith(name)})
    if len(begun) == 1:
        return (
            f"{name!r} is short for {begun[0]!r}; write it whole, for the same server would have another key"
        )
    whole = vocabulary.names.get(name.replace("_", "-"))
    short = next((one for one, flag in vocabulary.file.flags.items() if f"-{name}" in flag.aliases), None)
    return f"write {whole or short!r} instead of {name!r}" if whole or short else None


def _dotted(vocabulary: Vocabulary, name: str, value: object) -> str | None:
    """A part of a JSON flag, given by its dotted name."""
    whole, _, part = name.partition(".")
    flag = vocabulary.flag(whole)
    if flag is None:
        return _unknown(vocabulary, whole)
    if flag.type != "json":
        return f"{whole!r} has no parts; it takes {wanted(flag)}"
    if found := parts.of_part(flag, whole, part, value):
        return found
    if isinstance(value, bool):
        inside = " ".join(f"{{{step}:" for step in part.split("."))
        return (
            f"{name!r} with {str(value).lower()} becomes a flag without a value, and vLLM takes the next word for it; "
            f"write {whole}: {inside} {str(value).lower()}{'}' * part.count('.')}}}"
        )
    return None


def _of_value(flag: Flag, name: str, value: object) -> str | None:
    if flag.type == "bool":
        return _of_switch(flag, name, value)
    if isinstance(value, bool):
        told = f"{name!r} needs a value: it takes {wanted(flag)}, not {_text(value)}"
        return None if flag.bare and value else told
    if flag.type == "json":
        return parts.of_json(flag, name, value)
    if flag.type != "list":
        return _of_one(flag, name, value)
    one = flag.model_copy(update={"type": flag.of or "str"})
    found = (_of_one(one, name, element) for element in (value if isinstance(value, list) else [value]))
    return next((told for told in found if told), None)


def _of_one(flag: Flag, name: str, value: object) -> str | None:
    """Of a number or a word, also of one in a list."""
    if isinstance(value, list | dict):
        return f"{name!r} takes {wanted(flag)}, not {_text(value)}"
    return _of_number(flag, name, value) if flag.type in _NUMBERS else _of_word(flag, name, str(value))


def _of_switch(flag: Flag, name: str, value: object) -> str | None:
    if not isinstance(value, bool):
        plain = str(value).lower() in {"true", "false"}
        return f"{name!r} is a switch: write {'it without quotes' if plain else 'true or false'}, not {_text(value)}"
    if not value and not flag.no:
        return f"{name!r} has no `no-` form in vLLM; it is off unless given, so leave it out"
    return None


def _of_number(flag: Flag, name: str, value: object) -> str | None:
    text = str(value).strip()
    pattern, _ = _NUMBERS[flag.type]
    if text in {*flag.words, "", "None"} or (flag.human and _HUMAN.fullmatch(text)):
        return None  # an empty text and None are vLLM's own words for nothing
    if not pattern.fullmatch(text):
        short = re.fullmatch(r"(\d+)([kKmM])", text)
        hint = f"; write {int(short[1]) * 1000 ** ('km'.index(short[2].lower()) + 1)}" if short else ""
        return f"{name!r} takes {wanted(flag)}, not {_text(value)}{hint}"
    number = float(text)
    fits = (
        (flag.min is None or number >= flag.min)
        and (flag.max is None or number <= flag.max)
        and (flag.above is None or number > flag.above)
        and (flag.below is None or number < flag.below)
    )
    return None if fits else f"{name!r} takes {wanted(flag)}, not {_text(value)}"


def _of_word(flag: Flag, name: str, value: str) -> str | None:
    if value in {"", "None"}:
        return None  # vLLM's own words for nothing
    if flag.choices and not taken(flag.choices, value, any_case=flag.any_case):
        return f"{name!r} cannot be {value!r}; {listed(flag.choices, value)}"
    path = any(mark in value for mark in "./:")  # of a class or a file, which no list can have
    if flag.known and value not in flag.known and not path and (hint := nearest(value, flag.known)):
        return f"{name!r}: vLLM has no {value!r} of its own; {hint}"
    return None


def taken(choices: Sequence[Scalar], value: object, *, any_case: bool) -> bool:
    """Whether a value is one of the choices, as a command line spells them."""
    texts = {str(one) for one in choices}
    return str(value) in texts or (any_case and str(value).lower() in {one.lower() for one in texts})


def listed(choices: Sequence[Scalar], value: str) -> str:
    """The choices, or of many the one that was probably meant."""
    texts = [str(one) for one in choices]
    near = nearest(value, texts) or nearest(value.upper(), texts)
    if len(texts) <= SHOWN:
        return f"{near + ' ' if near else ''}it is one of {', '.join(texts)}"
    return near or f"it is one of {', '.join(texts[:SHOWN])} and {len(texts) - SHOWN} more"


def wanted(flag: Flag) -> str:
    """What a flag takes, in words."""
    if flag.type in _NUMBERS:
        words = {"min": "of at least", "above": "above", "max": "up to", "below": "below"}
        bounds = [
            f"{word} {value:g}" for at, word in words.items() if (value := getattr(flag, at)) is not None
        ]
        return " ".join([_NUMBERS[flag.type][1], " and ".join(bounds)]).strip()
    if flag.choices:
        return (
            f"one of {', '.join(map(str, flag.choices[:SHOWN]))}{' …' if len(flag.choices) > SHOWN else ''}"
        )
    return {"bool": "true or false", "json": "a mapping", "list": "a list"}.get(flag.type, "a text")


def _text(value: object) -> str:
    return json.dumps(value, default=str)
