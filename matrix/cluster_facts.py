"""What parts of a cluster file say about one another, and words of it: devices, mounts, variables, secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matrix import secrets, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.strict_yaml import Path

MAKERS = (("rocm", r"MI\d", r"gfx[0-9a-f]+"), ("cuda", r"G?[ABHLV]\d{2,3}\b|RTX", r"sm\d+[af]?"))
"""Kind, models by their first letters, and the compiler's names."""


def of_devices(kind: str, model: str, arch: str) -> str | None:
    """Why a kind of GPUs cannot have such a model or compiler's name; None where nothing speaks against it."""
    for one, models, names in MAKERS:
        if kind == "cpu":
            continue
        if one != kind and re.match(models, model):
            return f"{model} is no {kind} device; write kind: {one}"
        if one == kind and arch and not re.fullmatch(names, arch):
            meant = arch.lower().replace("_", "")
            hint = (
                f"write {meant}"
                if re.fullmatch(names, meant)
                else f"it is like {'gfx942' if kind == 'rocm' else 'sm90'}"
            )
            return f"arch {arch!r} is no compiler's name of a {kind} device; {hint}"
    return None


def of_secrets(document: Any) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any YAML value
    """Anywhere in the file: place and sentence."""
    yield from _secrets(document, ())
    env = document.get("env") if isinstance(document, dict) else None
    for name, value in (env if isinstance(env, dict) else {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            continue
        if secrets.names_a_secret(name):
            yield ("env", name), f"{name} looks like a secret: {secrets.ADVICE}"


def _secrets(value: Any, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _secrets(one, (*path, key))
    elif secrets.has_a_secret(value):
        yield path, f"{path[-1] if path else 'the file'} looks like a secret: {secrets.ADVICE}"


def owned(name: str) -> str:
    """A variable that the harness does not set by itself.

    Raises:
        ValueError: for one that it does.
    """
    if name in words.OWNED_BY_RUNS or name.upper().startswith("SERVEMATRIX_"):
        raise ValueError(f"{name} is set by the harness and cannot be a cluster's")
    return name


def mounted(target: str) -> str:
    """Where a folder is in the container, with or without `:ro`.

    Raises:
        ValueError: for another ending, or what is no whole path.
    """
    folder, colon, how = target.partition(":")
    if colon and how != "ro":
        raise ValueError(f"{target!r} ends in :{how}; write {folder}, or {folder}:ro for a read-only one")
    words.path(folder)
    return target


def device(name: str) -> str:
    """A device node.

    Raises:
        ValueError: for a path outside of /dev.
    """
    if not words.path(name).startswith("/dev/"):
        raise ValueError(f"{name!r} is no device node, such as /dev/kfd")
    return name
