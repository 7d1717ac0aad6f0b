"""The JSON schema of a cluster file for editors: pydantic's own, and what `check` refuses beside it, where a schema can say it."""

from __future__ import annotations

import copy
from typing import Any

from matrix import cluster_facts, words
from matrix.secrets import SECRET
from matrix.slurm import section
from matrix.slurm.submit_options import SET_ELSEWHERE
from matrix.vllm import editor_flags

Node = dict[str, Any]
_STEPS = r"(?!/+$)(?!.*(?:^|/)\.\.(?:/|$))"
_NODE = rf"^(?=/){_STEPS}(?:[\w/.+@=-]|\$UID\b)+$"
"""What `matrix.words.path` takes."""
_INSIDE = rf"^(?=/){_STEPS}[\w/.+@=-]+"
"""What `matrix.words.inside` takes, without its end."""
_PRINTABLE = r"^[^\u0000-\u001f\u007f\u2028\u2029]*$"


def schema(model: Node) -> Node:
    """The editor's schema.

    Args:
        model: pydantic's schema of `matrix.cluster.Cluster`, by alias.
    """
    made = copy.deepcopy(model)
    top, definitions = made["properties"], made["$defs"]
    _folders(definitions)
    _slurm(definitions["Slurm"]["properties"])
    _environment(top)
    top["registries"]["items"]["pattern"] = words.REGISTRY
    definitions["Devices"]["allOf"] = _makers()
    _without_secrets(made)
    made["allOf"] = _together()
    return made


def _folders(definitions: Node) -> None:
    """Paths of the node, and of the container."""
    for node in definitions["Paths"]["properties"].values():
        node["pattern"] = f"^$|{_NODE}"
    container = definitions["Container"]["properties"]
    container["mounts"]["propertyNames"] = {"pattern": _NODE}
    container["mounts"]["additionalProperties"]["pattern"] = _NODE.replace("+$", "+(?::ro)?$")
    container["devices"]["items"]["pattern"] = rf"^(?=/dev/){_NODE[1:]}"
    container["workdir"]["pattern"] = f"{_INSIDE}$"


def _slurm(properties: Node) -> None:
    """What goes into a batch script."""
    properties["partition"]["pattern"] = f"^$|^{section.PARTITION}$"
    properties["gres"] |= {"pattern": f"^$|^{section.GRES}$", "not": {"pattern": "^gres"}}
    properties["python"]["pattern"] = rf"{_INSIDE}$|^{section.PROGRAM}$"
    properties["options"] |= {
        "propertyNames": {"pattern": "^[a-z][a-z0-9-]*$", "not": {"enum": sorted(SET_ELSEWHERE)}},
        "additionalProperties": {"type": "string", "pattern": _PRINTABLE},
    }


def _environment(top: Node) -> None:
    """Variables: names, who sets them, and values that wait for a shell."""
    owned = [
        {"enum": sorted(words.OWNED_BY_RUNS)},
        {"pattern": "^[Ss][Ee][Rr][Vv][Ee][Mm][Aa][Tt][Rr][Ii][Xx]_"},
    ]
    name = {"pattern": editor_flags.NAME}
    top["env_from"] |= {
        "propertyNames": {**name, "not": {"anyOf": owned}},
        "additionalProperties": {"type": "string", **name},
    }
    env = editor_flags.definitions()
    refused = [*owned, editor_flags.names_a_secret(), {"pattern": "^VLLM_", "not": env["VLLM_"]}]
    top["env"] |= {
        "properties": {
            name: {"not": {"const": None}, **node} for name, node in editor_flags.blinding().items()
        },
        "propertyNames": {**name, "not": {"anyOf": refused}},
        "additionalProperties": {"type": "string", "pattern": _PRINTABLE, "not": {"pattern": words.WAITS}},
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
            {"launcher": {"const": "slurm"}},
            {"required": ["slurm"], "properties": {"slurm": {"type": "object"}}},
        ),
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
