"""The JSON schema of a cluster file for editors: pydantic's own, and what `check` refuses beside it, where a schema can say it."""

from __future__ import annotations

import copy
from typing import Any

from matrix import cluster_facts, words
from matrix.secrets import SECRET

Node = dict[str, Any]


def schema(model: Node, server: Node) -> Node:
    """The editor's schema.

    Args:
        model: pydantic's schema of `matrix.cluster.Cluster`, by alias; what it says of a launcher's section is that section's own.
        server: what the engine says of its variables: `properties`, and names that are `refused`.
    """
    made = copy.deepcopy(model)
    top, definitions = made["properties"], made["$defs"]
    _folders(definitions)
    _environment(top, server)
    top["registries"]["items"]["pattern"] = words.REGISTRY
    definitions["Devices"]["allOf"] = _makers()
    _without_secrets(made)
    made.setdefault("allOf", []).extend(_together())
    return made


def _folders(definitions: Node) -> None:
    """Paths of the node, and of the container."""
    for node in definitions["Paths"]["properties"].values():
        node["pattern"] = f"^$|{words.WHOLE}"
    container = definitions["Container"]["properties"]
    container["mounts"]["propertyNames"] = {"pattern": words.WHOLE}
    container["mounts"]["additionalProperties"]["pattern"] = words.WHOLE.replace("+$", "+(?::ro)?$")
    container["devices"]["items"]["pattern"] = rf"^(?=/dev/){words.WHOLE[1:]}"
    container["workdir"]["pattern"] = words.WHOLE_INSIDE


def _environment(top: Node, server: Node) -> None:
    """Variables: names, who sets them, and values that wait for a shell."""
    owned = [
        {"enum": sorted(words.OWNED_BY_RUNS)},
        {"pattern": "^[Ss][Ee][Rr][Vv][Ee][Mm][Aa][Tt][Rr][Ii][Xx]_"},
    ]
    name = {"pattern": words.VARIABLE}
    top["env_from"] |= {
        "propertyNames": {**name, "not": {"anyOf": owned}},
        "additionalProperties": {"type": "string", **name},
    }
    top["env"] |= {
        "properties": server["properties"],
        "propertyNames": {**name, "not": {"anyOf": [*owned, *server["refused"]]}},
        "additionalProperties": {
            "type": "string",
            "pattern": words.PRINTABLE,
            "not": {"pattern": words.WAITS},
        },
    }


def _makers() -> list[Node]:
    """Which models and compiler's names go with a kind of GPUs."""
    found: list[Node] = []
    for kind, _, names in cluster_facts.MAKERS:
        others = "|".join(one for other, one, _ in cluster_facts.MAKERS if other != kind)
        found.append(
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {
                    "properties": {
                        "model": {"not": {"pattern": f"^(?:{others})"}},
                        "arch": {"pattern": f"^$|^(?:{names})$"},
                    }
                },
            }
        )
    return found


def _without_secrets(node: object) -> None:
    """No text anywhere that looks like a token, also where another rule holds already."""
    if isinstance(node, list):
        for one in node:
            _without_secrets(one)
    if not isinstance(node, dict):
        return
    if node.get("type") == "string" and not {"enum", "const"} & set(node):
        node.setdefault("allOf", []).append({"not": {"pattern": SECRET.pattern}})
        return
    for one in node.values():
        _without_secrets(one)


def _together() -> list[Node]:
    """What parts say about one another."""
    return [
        _if(
            {"launcher": {"const": "local"}},
            {"properties": {"container": _has("runtime", {"const": "none"})}},
        ),
        _if(
            {"container": _has("runtime", {"enum": ["pyxis", "charliecloud"]})},
            {"required": ["paths"], "properties": {"paths": _has("squash", {"minLength": 1})}},
        ),
        _if(
            {
                "container": {
                    "allOf": [_has("runtime", {"const": "pyxis"}), _has("remap_root", {"const": True})]
                }
            },
            {
                "properties": {
                    "container": {
                        "properties": {"mounts": {"additionalProperties": {"not": {"pattern": ":ro$"}}}}
                    }
                }
            },
        ),
    ]


def _if(given: Node, then: Node) -> Node:
    return {"if": {"properties": given, "required": list(given)}, "then": then}


def _has(key: str, value: Node) -> Node:
    return {"properties": {key: value}, "required": [key]}
