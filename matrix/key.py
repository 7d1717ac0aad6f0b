"""The key: a hash of what a recipe declares that can change a point's numbers.

The list of parts is explicit and versioned, and a part that has its default is left out, so that a new field changes
no old key. Text only goes in, so that the key is the same on every machine and Python.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "k1"
LOCAL = "local"
"""In the place of the version where nothing identifies the server's packages: alike only inside of one allocation."""
OWN = "own"
"""The part `locked` of a point whose environment is a person's own."""
HEX_DIGITS = 16

PARTS = {
    "model": "the model's name, or the folder that the tree carries",
    "revision": "the commit of the model, if the recipe pins one",
    "model_files": "hash of the files of a model that the tree carries",
    "image": "the image, as written",
    "locked": "for runtime none: hash of the locked package versions; `own` for an environment that a person made",
    "flags": "every flag of the server, by name",
    "env": "the environment that the recipe and the cluster give the server",
    "env_from": "environment that the cluster takes from the node",
    "workload": "isl, osl, concurrency and, where it is used, the chat template",
    "protocol": "the protocol's version and what the recipe changes in it",
    "kernel": "name, variant, and hash of the shipped files",
    "vehicle": "the test vehicle's name and hash, where there is one",
    "cluster": "the cluster's name",
    "devices": "model and number of the devices, client cores",
    "container": "runtime and the options that can change numbers",
}
"""Every part that a key may have, with its meaning; docs/keys.md shows this table."""

Parts = dict[str, Any]
_TEXT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def parts(**given: object) -> Parts:
    """The parts of a key; empty ones are left out.

    Raises:
        KeyError: for a part that is not in `PARTS`.
    """
    for name in given:
        PARTS[name]  # an unknown part is an error of this code
    return {name: given[name] for name in PARTS if name in given and given[name] not in (None, "", {}, [])}


def digest(content: object, hex_digits: int = HEX_DIGITS) -> str:
    """Hash of plain values, independent of the order of mappings."""
    return _hash(_TEXT.encode(content), hex_digits)


def _hash(text: str, hex_digits: int = HEX_DIGITS) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:hex_digits]


def key(of: Parts) -> str:
    """The key of a point, such as `k1:3fa1c07de5b2f100`."""
    return f"{_version(of)}:{digest(of)}"


class Shared:
    """The parts that points with one server share. They are made, and written as the text of a key, once for all of them."""

    def __init__(self, **given: object) -> None:
        """Take all parts but the workload.

        Raises:
            KeyError: for a part that is not in `PARTS`.
        """
        self._parts = parts(**given, workload="to come")
        texts = {name: f'"{name}":{_TEXT.encode(part)}' for name, part in sorted(self._parts.items())}
        self._before = [text for name, text in texts.items() if name < "workload"]
        self._after = [text for name, text in texts.items() if name > "workload"]
        self.server = _hash_of([*self._before, *self._after])
        """What `server` makes of each of these points."""

    def with_workload(self, workload: Mapping[str, object]) -> tuple[Parts, str]:
        """The parts of a point, and its key: what `parts` and `key` make of all of them."""
        hashed = _hash_of([*self._before, f'"workload":{_TEXT.encode(workload)}', *self._after])
        return {**self._parts, "workload": workload}, f"{_version(self._parts)}:{hashed}"


def _hash_of(texts: list[str]) -> str:
    return _hash(f"{{{','.join(texts)}}}")


def _version(of: Parts) -> str:
    return LOCAL if of.get("locked") == OWN else VERSION


def is_local(name: str) -> bool:
    """Whether a key is of a person's own environment: alike only inside of one allocation."""
    return name.startswith(f"{LOCAL}:")


def server(of: Parts) -> str:
    """What points with one server have in common."""
    return digest({name: part for name, part in of.items() if name != "workload"})


def files_digest(files: Mapping[str, bytes]) -> str:
    """Hash of files by relative name and content; the ends of lines count as they are committed, whatever a checkout made of them."""
    plain = {name: content.replace(b"\r\n", b"\n") for name, content in files.items()}
    return digest({name: hashlib.sha256(content).hexdigest() for name, content in plain.items()})


def differences(one: Mapping[str, Any], other: Mapping[str, Any], above: str = "") -> list[str]:
    """Dotted names of what differs between two sets of parts, such as `flags.block-size`."""
    found: list[str] = []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) or isinstance(b, dict):
            if not isinstance(a or {}, dict) or not isinstance(b or {}, dict):
                found.append(f"{above}{name}")
            else:
                found += differences(a or {}, b or {}, f"{above}{name}.")
        elif a != b:
            found.append(f"{above}{name}")
    return found
