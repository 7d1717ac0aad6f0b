"""What all checked files share: strict models, and errors with their place."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from matrix.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from matrix.strict_yaml import Document, Path


class Strict(BaseModel):
    """A value read from YAML: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        serialize_by_alias=True,
        defer_build=True,
    )


class Value(BaseModel):
    """A value that this code makes and writes as JSON; unknown keys of a newer version are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        defer_build=True,
    )


class Kept(Value):
    """A value of a file that is kept for years; what a newer version added is passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)

MOST_PROBLEMS = 200
"""Problems of a file that are looked at: no person makes more, and each takes a guess at what was meant."""
LONGEST_KEY = 100
"""Letters of an unknown key that are shown, and for which a word like it is looked for."""
_MESSAGES = {
    "missing": "{key!r} is missing",
    "string_type": "wants text, not {value}; put it in quotes if text is meant",
    "int_type": "wants a whole number, not {value}",
    "float_type": "wants a number, not {value}",
    "bool_type": "wants true or false, not {value}",
    "dict_type": "wants a mapping (key: value), not {value}",
    "model_type": "wants a mapping (key: value), not {value}",
    "list_type": "wants a list, not {value}",
    "too_short": "must not be empty",
}
OTHERS = {
    "flags": "serve: {flags: {…}}",
    "env": "serve: {env: {…}}",
    "conc-start": "concurrency: 4..256, which doubles and always has its end",
    "conc-end": "concurrency: 4..256, which doubles and always has its end",
    "conc-list": "concurrency: [4, 32, 256]",
    "max-concurrency": "concurrency",
    "tensor-parallel-size": "tp",
    "pipeline-parallel-size": "pp",
    "data-parallel-size": "dp",
    "expert-parallel-size": "ep",
    "enable-expert-parallel": "ep: 8, or as many as tp x dp",
    "input-len": "isl",
    "random-input-len": "isl",
    "output-len": "osl",
    "random-output-len": "osl",
    "runner": "cluster",
    "framework": "engine",
    "scenarios": "workloads: [{isl: 8192, osl: 1024, search: [{tp: 8, concurrency: 4..256}]}]",
    "search-space": "search",
    "dcp-size": "dcp",
    "pcp-size": "pcp",
}
"""Keys of other tools, or in the wrong place -> what to write."""
LEFT_OUT = {
    "model-prefix": "a recipe has the name of its file",
    "multinode": "a server has one node",
    "disagg": "a server has one node",
}
"""Keys of other tools that have no place here -> why."""
_PATTERNS = {
    r"^@[A-Za-z0-9-]{1,39}(/[A-Za-z0-9._-]{1,100})?$": "write @NAME of a person, or @ORG/TEAM",
    "^[a-z0-9]+$": "small letters and digits only, such as fp8",
    "^[A-Za-z0-9][A-Za-z0-9._/-]*$": "letters, digits and ._/- only, such as the 40 digits of a commit",
}
"""In words."""


def validate(model: type[Model], document: Document, problems: list[Problem]) -> Model | None:
    """Turn a document into a model; what is wrong is added to `problems`, one for each place."""
    problems += document.problems
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        seen = {problem.place for problem in problems}
        listed = error.errors(include_url=False)
        every = [(found, _real_path(document.value, found["loc"])) for found in listed[:MOST_PROBLEMS]]
        for found, path in every:
            inside = any(len(other) > len(path) and other[: len(path)] == path for _, other in every)
            if path in document.wrong or (inside and found["type"].endswith("_type")):
                continue  # said of the text itself, or of the part that is wrong
            place = document.places.get(found["loc"]) or document.place(
                path
            )  # the former, where a variant took it away
            if place not in seen or found["type"] == "missing":
                problems.append(Problem(place, _words(model, found, path)))
            if found["type"] != "missing":  # that is said at the first key, which may be wrong by itself
                seen.add(place)
        if (more := len(listed) - MOST_PROBLEMS) > 0:
            problems.append(Problem(document.place(()), f"and {more} more problem{'s' if more > 1 else ''}"))
        return None


def _real_path(value: Any, loc: tuple[str | int, ...]) -> Path:  # noqa: ANN401 - any YAML value
    """The part of a pydantic location that exists in the document; it also names union branches and missing keys."""
    path: list[str | int] = []
    for step in loc:
        if isinstance(value, dict):
            if step not in value:
                continue
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _words(model: type[BaseModel], found: Any, path: Path) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    kind, key = found["type"], str(found["loc"][-1]) if found["loc"] else ""
    if kind == "extra_forbidden":
        return _unknown(key, _keys_beside(model, path))
    where = f"{path[-1]!r} " if path and isinstance(path[-1], str) and kind != "missing" else ""
    if kind == "value_error":
        return str(found["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        small, words = _small(found), _PATTERNS.get(found["ctx"]["pattern"])
        advice = f"; write {small}" if small else f": {words or found['ctx']['pattern']}"
        return f"{where}cannot be {_short(found['input'])}{advice}"
    if kind == "int_type" and (count := _thousands(found["input"])):
        return f"{where}wants a whole number; write {count}"
    usual = _MESSAGES.get(
        kind, str(found["msg"]).removeprefix("Input ").replace("{", "{{").replace("}", "}}")
    )
    return where + usual.format(key=key, value=_short(found["input"]), **found.get("ctx", {}))


def _unknown(key: str, known: list[str]) -> str:
    usual = key.lower().replace("_", "-")
    if len(key) > LONGEST_KEY:
        return f"unknown key {key[:LONGEST_KEY]!r}…, of {len(key):,} letters; leave it out"
    if usual in LEFT_OUT:
        return f"unknown key {key!r}; leave it out: {LEFT_OUT[usual]}"
    other = OTHERS.get(usual, "")
    small = other or (key.lower() if key.lower() in known else "")
    return f"unknown key {key!r}; {f'write {small}' if small else did_you_mean(key, known)}"


def _thousands(value: object) -> int | None:
    """What `1k` or `1024.0` is as a count of tokens."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    match = re.fullmatch(r"(\d{1,6})[kK]", value) if isinstance(value, str) else None
    return int(match[1]) * 1024 if match else None


def _small(found: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """The value in small letters, where that is all that is wrong."""
    small = str(found["input"]).lower()
    return small if re.fullmatch(found["ctx"]["pattern"], small) else ""


def _short(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004 - what reads well in a line


def _keys_beside(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that a mapping knows: walks the JSON schema along the path."""
    schema = _schema(model)
    node = schema
    for step in path[:-1]:
        node = _resolve(schema, node)
        node = _below(node, step)
    return list(_resolve(schema, node).get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _below(node: dict[str, Any], step: str | int) -> dict[str, Any]:
    found = (
        node.get("items")
        if isinstance(step, int)
        else node.get("properties", {}).get(step, node.get("additionalProperties"))
    )
    return found if isinstance(found, dict) else {}


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for branch in (node, *node.get("anyOf", ())):
        if "$ref" in branch:
            resolved: dict[str, Any] = schema["$defs"][branch["$ref"].rsplit("/", 1)[1]]
            return resolved
    return node
