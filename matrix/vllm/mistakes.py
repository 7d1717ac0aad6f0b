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
    "num-scheduler-steps": "async-scheduling: true, or leave it out",
    "rope-scaling": "hf-overrides: {rope_parameters: …}",
    "rope-theta": "hf-overrides: {rope_parameters: …}",
    "guided-decoding-backend": "structured-outputs-config: {backend: …}",
    "speculative-model": "speculative-config: {model: …, num_speculative_tokens: …}",
    "num-speculative-tokens": "speculative-config: {model: …, num_speculative_tokens: …}",
    "max-seq-len-to-capture": "compilation-config: {max_cudagraph_capture_size: …}",
    "worker-use-ray": "distributed-executor-backend: ray",
    "disable-async-output-proc": "async-scheduling: false",
    "tensor-parallel": "tp in search",
    "quantize": "quantization",
}
"""What SGLang or an old vLLM calls it -> what to write."""
NEEDLESS = {
    "swap-space": "sequences are computed again and not swapped out; cpu-offload-gb is for weights",
    "use-v2-block-manager": "there is no other",
    "temperature": "the client sends what is sampled; override-generation-config sets the server's defaults",
    "device": "vLLM finds it by itself",
    "disable-log-requests": "requests are not logged unless enable-log-requests asks for it",
}
"""What an old vLLM had, and no recipe needs -> why."""
_WORDS = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "float8": "fp8"}
"""How others spell a type."""
_BLOCK = 16
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


def doubt_of_flag(vocabulary: Vocabulary, name: str, value: object) -> str | None:
    """What is odd about a flag that vLLM may take all the same: a word that only a plugin can bring, a block of no kernel's size."""
    flag = vocabulary.flag(name)
    if flag is None or isinstance(value, bool | list | dict):
        return None
    text = str(value)
    if name == "block-size" and re.fullmatch(r"\d+", text) and int(text) > 1 and int(text) % _BLOCK:
        return f"{name} {text}: attention kernels take blocks of a multiple of {_BLOCK}"
    if flag.known and text not in {*flag.known, "", "None"} and not any(mark in text for mark in "./:"):
        return f"{name}: vLLM {vocabulary.version} has no {text!r} of its own, only {', '.join(flag.known[:SHOWN])}{' …' if len(flag.known) > SHOWN else ''}; a plugin must bring it"
    return None


def _unknown(vocabulary: Vocabulary, name: str) -> str:
    """No flag has this name."""
    who = f"vLLM {vocabulary.version} has no flag {name!r}"
    if found := _other_spelling(vocabulary, name):
        return found
    if name in NEEDLESS:
        return f"{who}; take it out: {NEEDLESS[name]}"
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
    return eats_the_next(name, value)


def eats_the_next(name: str, value: object) -> str | None:
    """Of any version: a dotted flag has no bare form and no `no-` form."""
    whole, _, part = name.partition(".")
    if not part or not isinstance(value, bool):
        return None
    inside = " ".join(f"{{{step}:" for step in part.split("."))
    return (
        f"{name!r} with {str(value).lower()} becomes a flag without a value, and vLLM takes the next word for it; "
        f"write {whole}: {inside} {str(value).lower()}{'}' * part.count('.')}}}"
    )


def _of_value(flag: Flag, name: str, value: object) -> str | None:
    if flag.type == "bool":
        return _of_switch(flag, name, value)
    if isinstance(value, bool):
        told = f"{name!r} needs a value: it takes {wanted(flag)}, not {_text(value)}"
        return None if flag.bare and value else told
    if flag.type == "json":
        return parts.of_json(flag, name, value)
    return _of_list(flag, name, value) if flag.type == "list" else _of_one(flag, name, value)


def _of_list(flag: Flag, name: str, value: object) -> str | None:
    if value == []:
        return f"{name!r} has an empty list; leave it out"
    if isinstance(value, str) and (listed := _list_as_text(flag, value)):
        return f"{name!r} takes a list: write {listed}, not {_text(value)}"
    one = flag.model_copy(update={"type": flag.of or "str"})
    found = (_of_one(one, name, element) for element in (value if isinstance(value, list) else [value]))
    return next((told for told in found if told), None)


def _list_as_text(flag: Flag, text: str) -> str | None:
    """A list that a recipe has as one text, as YAML writes it: vLLM takes the whole text for its only element."""
    plain = text.strip()
    whole = plain.startswith("[") and plain.endswith("]")
    if not whole and not (flag.of in _NUMBERS and re.search(r"[,\s]", plain)):
        return None
    words = [one.strip("\"'") for one in re.split(r"[,\s]+", plain.strip("[] ,")) if one]
    return f"[{', '.join(words)}]"


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
        hint = f"; write {plain}" if (plain := _plain(flag, text)) else ""
        return f"{name!r} takes {wanted(flag)}, not {_text(value)}{hint}"
    number = float(text)
    fits = (
        (flag.min is None or number >= flag.min)
        and (flag.max is None or number <= flag.max)
        and (flag.above is None or number > flag.above)
        and (flag.below is None or number < flag.below)
    )
    percent = f"; write {number / 100:g}" if flag.max == 1 and 10 <= number <= 100 else ""  # noqa: PLR2004 - per cent
    return None if fits else f"{name!r} takes {wanted(flag)}, not {_text(value)}{percent}"


def _plain(flag: Flag, text: str) -> str:
    """A number that people write with a unit, a per cent sign or a comma, without it; empty for another text."""
    if short := re.fullmatch(r"(\d+)([kKmM])(?:i?[bB])?", text):
        return str(int(short[1]) * 1000 ** ("km".index(short[2].lower()) + 1))
    if (part := re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", text)) and flag.type == "float":
        return f"{float(part[1]) / 100:g}"
    if whole := re.fullmatch(r"(\d+)\.0", text):
        return whole[1]
    if re.fullmatch(r"\d{1,3}([,_' ]\d{3})+", text):
        return re.sub(r"\D", "", text)
    return text.replace(",", ".") if re.fullmatch(r"\d+,\d+", text) and flag.type == "float" else ""


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
    word = _WORDS.get(value.lower(), value)
    near = (
        f"did you mean {word!r}?"
        if word in texts
        else next(filter(None, (nearest(one, texts) for one in (value, value.upper(), value.lower()))), "")
    )
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
