"""vLLM's flags and variables for an editor: every version's names and values, and what one version lacks of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from matrix.secrets import HARMLESS, NAMED, SECRET
from matrix.vllm import refused
from matrix.vllm.env_mistakes import OFF
from matrix.vllm.flag_names import IN_SEARCH, OWNED_FLAGS, REFUSED_FLAGS
from matrix.vllm.vocabulary import Vocabulary, versions
from matrix.words import OWNED_ENV, VARIABLE, WAITS

if TYPE_CHECKING:
    from matrix.vllm.vocabulary import Flag, Kind, Variable

Node = dict[str, Any]
_NOTHING: list[Node] = [{"enum": ["", "None", None]}]
"""vLLM's own words for nothing; null takes an inherited flag away."""
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_PATTERN = {"int": r"^[-+]?\d+$", "float": r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"}
_HUMAN = r"^\d+([KMGT]|(\.\d+)?[kmgt])$"


def definitions() -> Node:
    """`Flags` and `Env`, with all that some known version takes."""
    known = [Vocabulary.of(version) for version in versions()]
    forbidden = sorted({*OWNED_FLAGS, *REFUSED_FLAGS, *IN_SEARCH})
    flags: Node = {}
    for name in sorted({name for one in known for name in one.names} - set(forbidden)):
        shapes = [_flag(flag) for one in known if (flag := one.flag(name))]
        flags[name] = _without_refused(name, _either(shapes))
    env: Node = {}
    for name in sorted({name for one in known for name in one.file.env}):
        env[name] = _either([_variable(found) for one in known if (found := one.file.env.get(name))])
    for name, node in _blinding().items():
        env[name] = {"allOf": [env[name], node]} if name in env else node
    names = {"pattern": r"^[a-z][a-z0-9-]*(\.[a-z0-9_-]+)*$", "not": {"pattern": "^(no-|ssl-)"}}
    return {
        "Flags": {
            "type": "object",
            "properties": flags,
            "propertyNames": {"allOf": [names, {"not": {"enum": forbidden}}]},
            "additionalProperties": {"type": ["boolean", "number", "string", "array", "object", "null"]},
        },
        "Env": {
            "type": "object",
            "properties": env,
            "propertyNames": {
                "pattern": VARIABLE,
                "not": {"anyOf": [{"enum": sorted(OWNED_ENV)}, _names_a_secret()]},
            },
            "additionalProperties": {
                "type": ["string", "null"],
                "not": {"type": "string", "pattern": f"{SECRET.pattern}|{WAITS}"},
            },
        },
        "VLLM_": {"enum": sorted({*env, *(name for one in known for name in one.file.elsewhere)})},
        "vLLM": {"enum": sorted({*flags, *forbidden})},
    }


def _blinding() -> Node:
    """Variables that blind the harness, without the values that do."""
    found: Node = {}
    for row in refused.rows():
        if row.kind == "env" and row.grade == "error" and not row.when.part and row.when.above is None:
            blind = {"enum": [str(one) for one in row.when.one_of]} if row.when.one_of else {"type": "string"}
            found[row.name] = {"type": ["string", "null"], "not": blind}
    return found


def of_cluster() -> Node:
    """Of a cluster file's variables: `properties` with what blinds, and which names are `refused`, whichever version runs there."""
    blinds = {name: {**node, "type": "string"} for name, node in _blinding().items()}
    unknown = {"pattern": "^VLLM_", "not": definitions()["VLLM_"]}
    return {"properties": blinds, "refused": [_names_a_secret(), unknown]}


def _names_a_secret() -> Node:
    """As `matrix.secrets.names_a_secret`, in letters of either size, for which a schema's patterns have no word."""
    return {"pattern": _either_size(NAMED), "not": {"pattern": _either_size(HARMLESS)}}


def _either_size(pattern: str) -> str:
    """A pattern of capital letters outside of its brackets, for small ones too."""
    parts = re.split(r"(\[[^]]*\])", pattern)
    return "".join(
        part.replace("A-Z", "A-Za-z") if part.startswith("[") else re.sub("([A-Z])", _letter, part)
        for part in parts
    )


def _letter(found: re.Match[str]) -> str:
    return f"[{found[1]}{found[1].lower()}]"


def reasons() -> list[Node]:
    """What measures something else wants a reason in `because`; of a recipe without `extends`, for a variant may inherit it."""
    found = []
    for row in refused.rows():
        if row.grade != "note" or row.when.part or row.when.above is not None:
            continue
        given = {"enum": list(row.when.one_of)} if row.when.one_of else {"not": {"enum": [False, None]}}
        part = "flags" if row.kind == "flag" else "env"
        inside: Node = {"properties": {row.name: given}, "required": [row.name]}
        for key in (part, "serve"):
            inside = {"properties": {key: inside}, "required": [key]}
        reason = {"properties": {"because": {"required": [row.name]}}, "required": ["because"]}
        found.append({"if": inside, "then": reason})
    return found


def by_version() -> list[Node]:
    """For an image that says its version: only that version's flags, and its `VLLM_…` variables."""
    known = [Vocabulary.of(version) for version in versions()]
    flags = {name for one in known for name in one.names}
    variables = {name for one in known for name in (*one.file.env, *one.file.elsewhere)}
    return [_only(one, flags, variables) for one in known]


def _only(known: Vocabulary, all_flags: set[str], all_variables: set[str]) -> Node:
    """What is unknown to all versions, and what this one lacks of theirs, is refused."""
    version = re.escape(known.version)
    image = rf"^(vllm(-[a-z0-9]+)*=={version}(\+\w+)?|.*vllm[^/]*:v?{version}([-_+][^@]*)?(@.*)?)$"
    lacks = sorted(all_flags - set(known.names))
    words = {"$ref": "#/$defs/vLLM", "not": {"enum": lacks}} if lacks else {"$ref": "#/$defs/vLLM"}
    flags = {"propertyNames": {"anyOf": [words, {"pattern": rf"^({_mappings(known)})\."}]}}
    gone = sorted(all_variables - {*known.file.env, *known.file.elsewhere})
    unknown: Node = {"pattern": "^VLLM_", "not": {"$ref": "#/$defs/VLLM_"}}
    env = {"propertyNames": {"not": {"anyOf": [unknown, *([{"enum": gone}] if gone else [])]}}}
    parts = {"properties": {"flags": flags, "env": env}}
    when = {"when": {"items": parts}}
    return {
        "if": {"properties": {"image": {"type": "string", "pattern": image}}, "required": ["image"]},
        "then": {"properties": {"serve": {"properties": {**parts["properties"], **when}}}},
    }


def _mappings(known: Vocabulary) -> str:
    """Flags that have parts."""
    return "|".join(name for name, flag in sorted(known.file.flags.items()) if flag.type == "json")


def _either(shapes: list[Node]) -> Node:
    """One of several versions' shapes, each once."""
    found = {json.dumps(shape, sort_keys=True): shape for shape in shapes}
    return next(iter(found.values())) if len(found) == 1 else {"anyOf": list(found.values())}


def _flag(flag: Flag) -> Node:
    """The values that a version takes for a flag, as `matrix.vllm.mistakes` says."""
    if flag.type == "bool":
        return {"type": ["boolean", "null"]} if flag.no else {"enum": [True, None]}
    if flag.type == "json":
        return {"type": ["object", "array", "string", "null", *(["boolean"] if flag.bare else [])]}
    bare: list[Node] = [{"const": True}] if flag.bare else []
    if flag.type == "list":
        one = [*_one(flag, flag.of or "str"), *_NOTHING]
        return {"anyOf": [*one, {"type": "array", "minItems": 1, "items": {"anyOf": one}}, *bare]}
    return {"anyOf": [*_one(flag, flag.type), *_NOTHING, *bare]}


def _one(flag: Flag, kind: Kind) -> list[Node]:
    if kind in _PATTERN:
        bounds = {
            "minimum": flag.min,
            "maximum": flag.max,
            "exclusiveMinimum": flag.above,
            "exclusiveMaximum": flag.below,
        }
        given = {name: value for name, value in bounds.items() if value is not None}
        number = {"type": "integer" if kind == "int" else "number", **given}
        texts: list[Node] = [{"type": "string", "pattern": _PATTERN[kind]}]
        texts += [{"type": "string", "pattern": _HUMAN}] if flag.human else []
        return [number, *texts, *([{"enum": flag.words}] if flag.words else [])]
    if flag.choices:
        texts_of = [str(one) for one in flag.choices]
        small = [one.lower() for one in texts_of] if flag.any_case else []
        numbers = [one for one in flag.choices if not isinstance(one, str)]
        return [{"enum": list(dict.fromkeys([*texts_of, *small, *numbers]))}]
    return [{"enum": flag.known}, _SCALAR] if flag.known else [{"type": ["string", "number"]}]


def _variable(variable: Variable) -> Node:
    """The texts that a version takes for a variable, as `matrix.vllm.env_mistakes` says."""
    if variable.type == "bool" and variable.strict:
        return {"type": ["string", "null"], "pattern": r"^\s*\d+\s*$"}
    if variable.type == "bool":
        words = {"", "0"} if variable.undecided else OFF
        off = {spelt for one in words for spelt in (one, one.upper(), one.capitalize())}
        spelt = {"TRUE"} if {"true", "True"} <= set(variable.on) else set()
        return {"enum": [*sorted({*off, *spelt, *variable.on}), None]}
    if variable.type in _PATTERN:
        return {"type": ["string", "null"], "pattern": _PATTERN[variable.type]}
    if variable.type == "choice" and variable.choices:
        small = [one.lower() for one in variable.choices] if variable.any_case else []
        return {"enum": list(dict.fromkeys([*variable.choices, *small, None]))}
    return {"type": ["string", "null"]}


def _without_refused(name: str, node: Node) -> Node:
    """Less the values that blind the harness."""
    for row in refused.rows():
        if (row.kind, row.name, row.grade) != ("flag", name, "error") or row.when.part:
            continue
        if row.when.above is not None:
            node = {"allOf": [node, {"not": {"type": "number", "exclusiveMinimum": row.when.above}}]}
        elif row.when.one_of:
            node = {"allOf": [node, {"not": {"enum": list(row.when.one_of)}}]}
        else:
            node = {"enum": [False, None]}
    return node
