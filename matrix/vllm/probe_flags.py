"""Reads a vLLM's own `vllm serve` parser. A script for a Python that has that vLLM; it imports nothing of ours.

It prints one JSON object of facts: names, types, choices, defaults, limits. No sentence of vLLM's is kept; a help text is
looked at for "deprecated" and "use --x" alone. vLLM builds its parser for a platform; no device is needed. With an
argument, such as `cuda`, the parser is built as if the device had that name, so that what depends on it shows.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import importlib
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_PARSERS = ("entrypoints.common.cli_args", "entrypoints.launchers.cli_args", "entrypoints.openai.cli_args")
"""Where vLLM's `make_arg_parser` is, newest first: it moved in 0.29 and in 0.33."""
_MARK = "\0"
_LIMITS = {"ge": "min", "gt": "above", "le": "max", "lt": "below"}
_LISTS: tuple[Any, ...] = (list, tuple, set, frozenset)
_PLAIN: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "str", dict: "json"}
_PLAIN |= dict.fromkeys(_LISTS, "list")
_DEPRECATED = re.compile(r"^\W*deprecated|\bis deprecated|has been replaced by", re.IGNORECASE | re.MULTILINE)
_INSTEAD = re.compile(r"\b(?:use|replaced by)\s+[`'\"]*(?:--)?([a-z][a-z0-9_.-]*[a-z0-9])", re.IGNORECASE)
_DEVICE = re.compile(r"(backend|dtype|device|quantization)$")
"""Flags whose choices do not all work on every device."""
_OPEN = {
    "distributed-executor-backend",
    "quantization",
    "load-format",
    "tool-call-parser",
    "reasoning-parser",
}
"""Flags to whose values a plugin, or a class by its path, may add."""


def build() -> tuple[argparse.ArgumentParser, dict[str, Any]]:
    """VLLM's parser; each help text begins with the configuration class and the field that its flag sets."""
    sys.argv = [
        "vllm",
        "--help",
    ]  # vLLM reads the help texts of its configuration only when it is asked for help
    from vllm.engine import arg_utils  # noqa: PLC0415 - see above
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    classes: dict[str, Any] = {}
    original = arg_utils.get_kwargs

    @functools.wraps(original)
    def marked(cls: type) -> dict[str, dict[str, Any]]:
        classes[cls.__name__] = cls
        kwargs: dict[str, dict[str, Any]] = original(cls)
        for name, one in kwargs.items():
            one["help"] = f"{_MARK}{cls.__name__}.{name}{_MARK}{one.get('help') or ''}"
        return kwargs

    arg_utils.get_kwargs = marked
    for module in _PARSERS:
        try:
            make = importlib.import_module(f"vllm.{module}").make_arg_parser
        except ModuleNotFoundError as error:
            if not f"vllm.{module}".startswith(str(error.name)):
                raise
            continue
        return make(FlexibleArgumentParser()), classes
    raise SystemExit(f"vLLM has none of {', '.join(_PARSERS)}: probe_flags.py must learn where its parser is")


def parts(hint: object) -> list[Any]:
    """The members of a union, without None."""
    if typing.get_origin(hint) is typing.Annotated:
        return parts(typing.get_args(hint)[0])
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return [one for part in typing.get_args(hint) for one in parts(part)]
    return [] if hint is type(None) else [hint]


def field_parts(cls: Any, name: str) -> list[Any]:  # noqa: ANN401 - vLLM's configuration
    """The type of a configuration's field, as the members of its union."""
    try:
        hint = typing.get_type_hints(cls, include_extras=True).get(name)
    except (NameError, TypeError, AttributeError):  # it names what exists for type checkers alone
        hint = next((field.type for field in dataclasses.fields(cls) if field.name == name), None)
    return parts(hint)


def kind(of: list[Any]) -> str | list[Any]:
    """A field's type: a word, its choices, or "any" where it has several."""
    literals = [
        one for part in of if typing.get_origin(part) is typing.Literal for one in typing.get_args(part)
    ]
    enums = [part for part in of if isinstance(part, type) and issubclass(part, enum.Enum)]
    rest = [part for part in of if typing.get_origin(part) is not typing.Literal and part not in enums]
    if not rest and enums and not literals:
        numbers = [int(member) for one in enums for member in one if isinstance(member, int)]
        texts = (member.value if isinstance(member, str) else member.name for one in enums for member in one)
        return numbers + sorted(texts)
    if not rest and literals:
        return ordered(one for one in literals if one is not None)
    if len(rest) == 1 and not literals and not enums:
        return (
            "json"
            if dataclasses.is_dataclass(rest[0])
            else _PLAIN.get(typing.get_origin(rest[0]) or rest[0], "any")
        )
    return "any"


def ordered(values: Any) -> list[Any]:  # noqa: ANN401 - whatever a parser's choices are
    """Numbers by size, else texts."""
    found = list(values)
    plain = [one if isinstance(one, bool | int | float | str) else str(one) for one in found]
    numbers = all(isinstance(one, int | float) for one in plain)
    return sorted(plain) if numbers else sorted(plain, key=str)


def fields(cls: Any, prefix: str = "", depth: int = 2) -> dict[str, Any]:  # noqa: ANN401
    """What may be given of a configuration, by dotted name, down to the configurations inside it."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        of = field_parts(cls, field.name)
        inner = field.default if type(field.default).__name__ == "FieldInfo" else None
        if field.name.startswith("_") or not field.init or getattr(inner, "init", None) is False:
            continue
        found[prefix + field.name] = kind(of)
        nested = next((one for one in of if dataclasses.is_dataclass(one)), None)
        if (
            nested and depth > 1 and not field.name.startswith(("target_", "draft_"))
        ):  # those vLLM makes itself
            found |= fields(nested, f"{prefix}{field.name}.", depth - 1)
    return found


def words(cls: Any, name: str, names: list[Any]) -> dict[str, Any]:  # noqa: ANN401
    """The choices of an enumeration, which vLLM's configuration reads after the parser: tried, for each spells them its way."""

    def taken(text: object) -> bool:
        try:
            cls(**{name: text})
        except Exception:  # noqa: BLE001 - any of them means that vLLM does not take the text
            return False
        return True

    if numbers := [one for one in names if isinstance(one, int)]:
        return {"type": "choice", "choices": numbers}
    found = [one for one in names if taken(one)] + (["auto"] if taken("auto") else [])
    return {"type": "choice", "choices": found} | ({"any_case": True} if taken(found[0].lower()) else {})


def limits(cls: Any, name: str) -> dict[str, Any]:  # noqa: ANN401
    """What pydantic holds a field to."""
    metadata = getattr(getattr(cls, "__pydantic_fields__", {}).get(name), "metadata", ())
    bounds = [(ours, getattr(one, theirs, None)) for one in metadata for theirs, ours in _LIMITS.items()]
    return {name: value for name, value in bounds if isinstance(value, int | float)}


def converted(convert: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401 - argparse's `type`
    """The word for what a parser makes of a value; vLLM wraps functions in functions, so the innermost one says it."""
    while inside := [cell.cell_contents for cell in getattr(convert, "__closure__", None) or ()]:
        convert = next(filter(callable, inside), None)
    called = getattr(convert, "__name__", "str")
    if called.startswith("human_readable_int"):
        return "int", {"human": True, **({"words": ["auto"]} if called.endswith("auto") else {})}
    if called in {"loads", "parse_dataclass", "union_dict_and_str"} or dataclasses.is_dataclass(convert):
        return "json", {"text": True} if called == "union_dict_and_str" else {}
    return _PLAIN.get(convert, "str") if isinstance(convert, type) else "str", {}


def typed(action: argparse.Action) -> dict[str, Any]:
    """Type, choices and number of values, as the parser has them."""
    if action.nargs == 0:
        return (
            {"type": "bool", "no": True}
            if type(action) is argparse.BooleanOptionalAction
            else {"type": "bool"}
        )
    word, found = converted(action.type)
    if action.choices is not None:
        word, found["choices"] = "choice", ordered(one for one in action.choices if one is not None)
    elif isinstance(action.metavar, list | tuple):
        found["known"] = ordered(one for one in action.metavar if one is not None)
    elif named := re.match(r"\{([^}]*)\} or name", str(action.metavar)):
        found["known"] = sorted(named[1].split(","))
    if action.nargs == "?":
        found["bare"] = True
    elif action.nargs is not None or type(action).__name__ == "_AppendAction":
        return {"type": "list", "of": word, **found}
    return {"type": word, **found}


def spelt(action: argparse.Action, spellings: list[str]) -> tuple[str, dict[str, Any]]:
    """A flag's name and its other spellings. From 0.33 on a switch `enable-x` has a `disable-x`, which turns it off."""
    name = next(one for one in action.option_strings if one.startswith("--"))
    off = {one for one in getattr(action, "negative_option_strings", ()) if not one.startswith("--no-")}
    aliases = [one for one in spellings if one != name and one not in off and not one.startswith("--no-")]
    found = {
        "no": f"--no-{name[2:]}" in spellings,
        "opposites": sorted(one[2:] for one in off),
        "aliases": [one.removeprefix("--") for one in aliases],
    }
    return name, {part: value for part, value in found.items() if value}


def flag(
    action: argparse.Action, spellings: list[str], classes: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A flag's name and what is to know of it."""
    name, others = spelt(action, spellings)
    found = typed(action) | others
    text = action.help or ""
    if text.startswith(_MARK):
        _, where, text = text.split(_MARK, 2)
        cls, field = classes[where.split(".")[0]], where.split(".")[1]
        of = field_parts(cls, field)
        found |= limits(cls, field) if found["type"] in {"int", "float"} else {}
        nested = next((one for one in of if dataclasses.is_dataclass(one)), None)
        if found["type"] == "json" and nested:
            found["fields"] = fields(nested)
            if getattr(nested, "__pydantic_config__", {}).get("extra") != "forbid":
                found["more"] = True
        if found["type"] == "str" and "known" not in found and isinstance(names := kind(of), list):
            found |= words(cls, field, names)
    if name[2:] in _OPEN and "choices" in found:
        found["known"], found["type"] = found.pop("choices"), "str"
    if _DEVICE.search(name) and {"known", "choices"} & set(found):
        found["platform"] = True
    if isinstance(action.default, bool | int | float | str) and action.default != argparse.SUPPRESS:
        found["default"] = int(action.default) if isinstance(action.default, enum.IntEnum) else action.default
    if "deprecated" in type(action).__name__.lower() or _DEPRECATED.search(text):
        found["deprecated"] = True
        if (instead := _INSTEAD.search(text)) and instead[1] != name[2:]:
            found["instead"] = instead[1].replace("_", "-") if "." not in instead[1] else instead[1]
    return name[2:], found


def registered() -> dict[str, list[str]]:
    """Values that vLLM looks up in a registry, which plugins may add to."""
    places: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "quantization": ("model_executor.layers.quantization", lambda one: one.QUANTIZATION_METHODS),
        "load-format": ("model_executor.model_loader", lambda one: one._LOAD_FORMAT_TO_MODEL_LOADER),  # noqa: SLF001
        "reasoning-parser": ("reasoning", lambda one: one.ReasoningParserManager.list_registered()),
    }
    return {name: sorted(get(importlib.import_module(f"vllm.{at}"))) for name, (at, get) in places.items()}


def pretend(device: str) -> None:
    """Give the device another name before the parser is built."""
    from vllm import platforms  # noqa: PLC0415 - what it imports is vLLM's

    other = type("Other", (type(platforms.current_platform),), {"device_type": device})
    platforms._current_platform = other()  # noqa: SLF001 - vLLM asks the machine alone


def main() -> None:
    """Print the facts in one line."""
    sys.stdout, answer = sys.stderr, sys.stdout
    if sys.argv[1:]:
        pretend(sys.argv[1])
    parser, classes = build()
    old: set[argparse.Action] = getattr(parser, "_deprecated", set())
    found = {}
    spellings = parser._option_string_actions.items()  # noqa: SLF001 - argparse has no other list; some are hidden elsewhere
    for action in dict.fromkeys(one for text, one in spellings if text.startswith("--")):
        if action.dest != "help":
            name, facts = flag(action, [text for text, one in spellings if one is action], classes)
            found[name] = facts | ({"deprecated": True} if action in old else {})
    for name, values in registered().items():
        found[name] |= {"known": values} | ({"platform": True} if _DEVICE.search(name) else {})
    import vllm  # noqa: PLC0415
    from vllm.platforms import current_platform  # noqa: PLC0415 - see `pretend`

    made = max(
        Path(vllm.__file__).parent.parent.glob("vllm*.dist-info"),
        key=lambda one: one.name.startswith("vllm_"),
    )
    package, version = made.name.removesuffix(".dist-info").replace("_", "-").rsplit("-", 1)
    about = {"version": version.split("+")[0], "package": package, "platform": current_platform.device_type}
    print(json.dumps(about | {"flags": found}), file=answer)


if __name__ == "__main__":
    main()
