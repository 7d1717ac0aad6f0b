"""The JSON schema of a recipe for editors: pydantic's own, and what `check` refuses beside it, where a schema can say it.

Three things pydantic cannot tell an editor: that a variant (`extends`) may leave keys out or take them away with null, what
this tree has (clusters, kernels, recipes), and vLLM's flags and variables, which `matrix.vllm.editor_flags` adds.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matrix import cluster, cluster_schema, image, recipe, tree
from matrix.ranges import LARGEST
from matrix.vllm import editor_flags, image_mistakes
from matrix.vllm.official import facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matrix.tree import Tree

Node = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = {"type": "integer", "minimum": 1, "maximum": LARGEST}
CONDITION = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": r"^((>=|<=|>|<|==)?\s*|\d{1,9}\.\.)\d{1,9}$"},
    ]
}
"""What `matrix.ranges.condition` takes."""
CONCURRENCY = {
    "anyOf": [
        _NUMBER,
        {"type": "string", "pattern": r"^0*[1-9]\d{0,8}\.\.0*[1-9]\d{0,6}$"},
        {"type": "array", "items": _NUMBER, "minItems": 1, "uniqueItems": True},
    ]
}
"""What `matrix.ranges.concurrencies` takes."""
WORD = r"^[A-Za-z0-9/][A-Za-z0-9._/:@=+#-]*$"
IMAGES = (
    image.PATTERN,
    rf"^{image.ARCHIVE}\w[\w.+-]*$",
    r"^[a-z0-9][a-z0-9-]*==\d+\.\d+\.\d[A-Za-z0-9.+!-]*$",
)
"""A reference, an archive of the cluster's, a package for runtime none."""
_MAPPINGS = ("Serve", "Client", "Kernel", "Protocol", "Rules", "Official")
"""Definitions that a variant changes key by key, so that null takes one of their keys away."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a tree has, by name."""

    recipes: Sequence[str]
    clusters: Sequence[str]
    kernels: Mapping[str, Sequence[str]]
    """Their variants."""
    vehicles: Sequence[str]
    facts: Sequence[str]
    """Of official recipes."""

    @classmethod
    def of(cls, where: Tree) -> Known:
        """Of a tree's files."""
        kernels = {name: tree.variants(where.kernels, name) for name in tree.kernels(where.kernels)}
        return cls(
            recipe.names(where.recipes),
            cluster.names(where.clusters),
            kernels,
            tree.vehicles(where.kernels),
            facts.names(where.recipes),
        )


def of_cluster(model: Node) -> Node:
    """The editor's schema of a cluster file.

    Args:
        model: pydantic's schema of `matrix.cluster.Cluster`, by alias.
    """
    return {"$schema": DIALECT, **cluster_schema.schema(model, editor_flags.of_cluster())}


def schema(model: Node, known: Known) -> Node:
    """The editor's schema.

    Args:
        model: pydantic's schema of `matrix.recipe.Recipe`, by alias.
        known: what the tree has.
    """
    made = copy.deepcopy(model)
    definitions = made["$defs"]
    _small_languages(definitions)
    _names(made, known)
    definitions |= editor_flags.definitions()
    for where in ("Serve", "When"):
        for part, name in (("flags", "Flags"), ("env", "Env")):
            _set(definitions[where]["properties"], part, {"$ref": f"#/$defs/{name}"})
    required = made.pop("required")
    plain = _without_null(made, definitions)
    for properties in (made["properties"], *(definitions[name]["properties"] for name in _MAPPINGS)):
        for key in properties:
            properties[key] = _or_null(properties[key])
    for name in _MAPPINGS:
        definitions[name].pop("required", None)
    made["allOf"] = [
        {
            "if": {"required": ["extends"], "properties": {"extends": {"type": "string"}}},
            "else": {"required": required, "properties": plain, "allOf": editor_flags.reasons()},
        },
        *editor_flags.by_version(),
    ]
    return {"$schema": DIALECT, **made}


def _set(properties: Node, key: str, wanted: Node) -> None:
    """Another shape for a key; its description stays."""
    properties[key] = {**wanted, "description": properties[key].get("description", "")}


def _small_languages(definitions: Node) -> None:
    """Conditions, ranges, and values that are reserved."""
    for name in ("Where", "When"):
        for key in recipe.Where.model_fields:
            _set(definitions[name]["properties"], key, {"anyOf": [*CONDITION["anyOf"], {"type": "null"}]})
    conditions = [{"required": [key]} for key in recipe.Where.model_fields]
    effects = [{"required": [key], "properties": {key: {"minProperties": 1}}} for key in ("flags", "env")]
    definitions["When"]["allOf"] = [{"anyOf": conditions}, {"anyOf": effects}]
    search = definitions["Search"]["properties"]
    _set(search, "concurrency", CONCURRENCY)
    _set(search, "dp-attn", {"const": False})
    _set(search, "nodes", {"const": 1})


def _names(made: Node, known: Known) -> None:
    """What the tree has is a choice, and an editor completes it."""
    top, definitions = made["properties"], made["$defs"]
    _set(top, "extends", {"enum": list(known.recipes)})
    _set(top, "cluster", {"enum": list(known.clusters)})
    _set(top, "vehicle", {"enum": list(known.vehicles)})
    _set(definitions["Official"]["properties"], "facts", {"enum": list(known.facts)})
    _set(top, "model", {"type": "string", "pattern": WORD, "not": {"pattern": image_mistakes.ODD_MODELS}})
    reference, *others = ({"type": "string", "pattern": one} for one in IMAGES)
    _set(top, "image", {"anyOf": [reference | {"not": {"pattern": image_mistakes.ODD_IMAGES}}, *others]})
    kernel = definitions["Kernel"]
    _set(kernel["properties"], "name", {"enum": list(known.kernels)})
    kernel["allOf"] = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"properties": {"variant": {"enum": [*variants, None]}}},
        }
        for name, variants in known.kernels.items()
        if variants
    ]


def _or_null(node: Node) -> Node:
    """The same, or taken away by null."""
    description = node.get("description", "")
    branches = node["anyOf"] if set(node) <= {"anyOf", "description", "default", "title"} else None
    if branches is None:
        branches = [{key: value for key, value in node.items() if key not in {"description", "title"}}]
    null = {"type": "null"}
    return {"anyOf": [*branches, *([] if null in branches else [null])], "description": description}


def _without_null(made: Node, definitions: Node) -> Node:
    """For a recipe that extends nothing: which keys cannot be null, and what the parts must have."""
    found: Node = {}
    for key, node in made["properties"].items():
        if {"type": "null"} in node.get("anyOf", ()) or key in {"extends", "vehicle"}:
            continue
        name = node.get("$ref", "").rsplit("/", 1)[-1]
        below = definitions[name]["properties"] if name in _MAPPINGS else {}
        found[key] = {"not": {"type": "null"}}
        if below:
            found[key]["properties"] = {
                one: {"not": {"type": "null"}}
                for one, part in below.items()
                if {"type": "null"} not in part.get("anyOf", ())
            }
    for key in ("kernel", "official"):
        needed = definitions[key.capitalize()]["required"]
        found[key] = {"if": {"type": "object"}, "then": {"required": needed}}
    return found
