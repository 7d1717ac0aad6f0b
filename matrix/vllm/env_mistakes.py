"""What is wrong with a VLLM_… variable in a recipe. vLLM only warns of a name that it does not know, deep in its log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from matrix.errors import nearest
from matrix.vllm import mistakes
from matrix.vllm.vocabulary import Vocabulary, is_known, known_in, versions

if TYPE_CHECKING:
    from matrix.vllm.vocabulary import Variable

PREFIX = "VLLM_"
OFF = {"", "0", "false", "no", "off", "n", "f"}
"""What a person writes for off."""
GONE = {
    "VLLM_USE_V1": "V1 is the only engine; take it out",
    "VLLM_ATTENTION_BACKEND": "use the flag attention-backend",
    "VLLM_ALL2ALL_BACKEND": "use the flag all2all-backend",
    **dict.fromkeys(
        (
            *("VLLM_USE_FLASHINFER_MOE_FP4", "VLLM_USE_FLASHINFER_MOE_FP8", "VLLM_USE_FLASHINFER_MOE_FP16"),
            *("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16"),
            *("VLLM_FLASHINFER_MOE_BACKEND", "VLLM_MXFP4_USE_MARLIN"),
        ),
        "use the flag moe-backend, such as flashinfer_trtllm, flashinfer_cutlass or marlin",
    ),
    "VLLM_USE_TRTLLM_ATTENTION": "use attention-config: {use_trtllm_attention: …}",
    "VLLM_RPC_TIMEOUT": "nothing waits for it; take it out",
    "VLLM_TORCH_PROFILER_DIR": "use the flag profiler-config",
}
"""What old scripts carry, and vLLM no longer reads."""


def of_variable(vocabulary: Vocabulary, name: str, value: str) -> str | None:
    """The same for a variable of the environment; only those that begin with VLLM_ are known."""
    if name.upper().startswith(PREFIX) and name != name.upper():
        return f"vLLM's variables have capital letters only; write {name.upper()}"
    if not name.startswith(PREFIX) or name in vocabulary.file.elsewhere:
        return None
    variable = vocabulary.env(name)
    return _of_value(variable, name, value) if variable else _unknown(vocabulary, name)


def of_no_version(name: str) -> str | None:
    """What is wrong with a variable that no known version reads, for a file that serves several of them; None where one does."""
    newest = Vocabulary.of(versions()[-1])
    if not name.startswith(PREFIX) or name in newest.file.elsewhere or is_known("env", name):
        return None
    return _unknown(newest, name)


def _unknown(vocabulary: Vocabulary, name: str) -> str:
    who = f"vLLM {vocabulary.version} does not read {name}"
    if name in GONE:
        return f"{who}; {GONE[name]}"
    if others := known_in("env", name):
        return f"{who}; {' and '.join(dict.fromkeys((others[0], others[-1])))} did"
    hint = nearest(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in vocabulary.file.env])
    hint = hint.replace("'", f"'{PREFIX}", 1)
    return f"{who}; {hint}" if hint else who


def takes_spaces(variable: Variable) -> bool:
    """Whether vLLM takes a space around a value for a part of it, so that ' 1' turns nothing on."""
    return variable.type == "choice" or (variable.type == "bool" and not variable.strict)


def _of_value(variable: Variable, name: str, value: str) -> str | None:
    text = value.strip()
    if text != value and takes_spaces(variable):
        return f"{name}: vLLM takes the space in {value!r} for a part of it; take it out"
    return _of_kind(variable, name, value, text)


def _of_kind(variable: Variable, name: str, value: str, text: str) -> str | None:
    if variable.type == "bool":
        return _of_switch(variable, name, text)
    if variable.type in {"int", "float"}:
        pattern = r"[-+]?\d+" if variable.type == "int" else r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
        word = "a whole number" if variable.type == "int" else "a number"
        return None if re.fullmatch(pattern, text) else f"{name} takes {word}, not {value!r}"
    if variable.type == "json":
        try:
            json.loads(text)
        except ValueError:
            return None if "/" in text else f"{name} takes JSON, or the path of a file with it, not {value!r}"
        return None
    given = text.split(",") if variable.type == "list" else [text]
    for one in given:
        if variable.choices and not mistakes.taken(variable.choices, one.strip(), any_case=variable.any_case):
            return f"{name} cannot be {one!r}; {mistakes.listed(variable.choices, one)}"
    return None


def _of_switch(variable: Variable, name: str, text: str) -> str | None:
    if text in variable.on or text == "0":
        return None
    if variable.strict:
        return (
            None
            if re.fullmatch(r"\d+", text)
            else f"{name} takes 0 or 1, and vLLM ends with an error on {text!r}"
        )
    if variable.undecided and text:
        return f"{name}: vLLM takes {text!r} for neither on nor off, and decides by itself; write 1 or 0, or leave it out"
    spelt = {"true", "True"} <= set(variable.on) and text.lower() == "true"
    if spelt or text.lower() in OFF:
        return None
    told = " or ".join(repr(one) for one in variable.on if one != "True")
    return f"{name}: vLLM takes {text!r} for off; it wants {told} for on"
