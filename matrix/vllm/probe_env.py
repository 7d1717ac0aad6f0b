"""Reads a vLLM's table of environment variables. A script for a Python that has that vLLM; it imports nothing of ours.

vLLM has a function a variable that reads it. Each is called with some texts in the variable's place, so that the answer
is what vLLM does with a text, not what its source seems to say. It prints one JSON object of names, types, choices, and
which texts turn a switch on. No sentence of vLLM's is kept.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_SWITCHES = ("0", "1", "true", "True", "false", "yes", "no", "on", "off")
_PATH = re.compile(r"_(PATH|DIR|DIRECTORY|ROOT|FILE|FOLDER|CACHE|LOCATION)$")
_READ = re.compile(r"(?:environ|getenv)\W+(?:get\W+)?(VLLM_[A-Z0-9_]+)")
_LEVEL = "VLLM_LOGGING_LEVEL"
"""vLLM reads any text, and ends where Python's logging does not know it as a level."""
_AS_WRITTEN = {"VLLM_FLOAT32_MATMUL_PRECISION"}
"""Any letters pass vLLM, which hands them to torch, and torch keeps its default unless they are small."""
_WORDS = {"bool": "bool", "int": "int", "float": "float", "str": "str"}


def declared(source: str) -> dict[str, tuple[str, Any]]:
    """Type and default of each variable as vLLM declares them for type checkers."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = node.value.value if isinstance(node.value, ast.Constant) else None
            found[node.target.id] = (ast.unparse(node.annotation), default)
    return found


def called(read: Callable[[], Any], name: str, text: str | None) -> object:
    """What vLLM makes of a text; an error is the answer too."""
    kept = dict(os.environ)
    os.environ.pop(name, None)
    if text is not None:
        os.environ[name] = text
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - any of them means that vLLM does not take the text
        return error
    finally:
        os.environ.clear()
        os.environ.update(kept)


def chosen(read: Callable[[], Any]) -> dict[str, Any]:
    """The choices that a reading function holds a text to."""
    code = getattr(read, "__code__", None)
    inside = dict(
        zip(
            getattr(code, "co_freevars", ()),
            (cell.cell_contents for cell in read.__closure__ or ()),
            strict=True,
        )
    )
    choices = inside.get("choices")
    try:
        values = choices() if callable(choices) else choices
    except Exception:  # noqa: BLE001 - some are listed by a package that is not there
        return {}
    if not isinstance(values, list | tuple | set):
        return {}
    return {"choices": sorted(map(str, values))} | (
        {} if inside.get("case_sensitive", True) else {"any_case": True}
    )


def variable(name: str, read: Callable[[], Any], annotation: str, default: object) -> dict[str, Any]:
    """What is to know of one."""
    found: dict[str, Any] = {"type": _WORDS.get(annotation.split("|", maxsplit=1)[0].strip(), "str")}
    answers = {text: called(read, name, text) for text in _SWITCHES}
    plain = [answer for answer in answers.values() if not isinstance(answer, Exception)]
    real = called(read, name, None)
    if name == _LEVEL:
        levels: dict[str, Any] = {"any_case": True} if called(read, name, "info") == "INFO" else {}
        return {"type": "choice", "choices": sorted(logging.getLevelNamesMapping()), "default": real} | levels
    if choices := chosen(read):
        if name in _AS_WRITTEN:
            choices.pop("any_case", None)
        shape = {"type": "list"} if annotation.startswith(("list", "set")) else {"type": "choice"}
        return shape | choices | ({"default": real} if isinstance(real, str) else {})
    if (
        plain
        and all(isinstance(answer, bool) or answer is None for answer in plain)
        and True in plain
        and False in plain
    ):
        found |= {"type": "bool", "on": [text for text in _SWITCHES if answers[text] is True]}
        if isinstance(answers["yes"], Exception):
            found["strict"] = True
        if answers["0"] is False and answers["off"] is None:
            found["undecided"] = True
    elif isinstance(called(read, name, "{}"), dict):
        found["type"] = "json"
    elif isinstance(called(read, name, "word"), Exception):
        one = called(read, name, "7")
        found["type"] = (
            "float"
            if isinstance(called(read, name, "7.5"), float)
            else "int"
            if isinstance(one, int)
            else "str"
        )
    elif _PATH.search(name) and found["type"] == "str":
        found["type"] = "path"
    else:
        found["type"] = "str"
    if isinstance(default, bool | int | float | str) and default not in {"", None} and real == default:
        found["default"] = default
    return found


def elsewhere(package: Path, known: set[str]) -> list[str]:
    """Variables that other modules read for themselves; vLLM warns of them as unknown, and heeds them."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        found |= set(_READ.findall(path.read_text(errors="replace")))
    return sorted(found - known)


def main() -> None:
    """Print the facts in one line."""
    sys.stdout, answer = sys.stderr, sys.stdout
    from vllm import envs  # noqa: PLC0415 - after what it prints goes elsewhere

    file = Path(envs.__file__)
    types = declared(file.read_text())
    table = {
        name: variable(name, read, *types.get(name, ("str", None)))
        for name, read in sorted(envs.environment_variables.items())
        if name.startswith("VLLM_")
    }
    print(json.dumps({"env": table, "elsewhere": elsewhere(file.parent, set(table))}), file=answer)


if __name__ == "__main__":
    main()
