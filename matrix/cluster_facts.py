"""What parts of a cluster file say about one another, and about vLLM's variables and secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matrix import secrets, words
from matrix.vllm import env_mistakes, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.cluster import Cluster
    from matrix.strict_yaml import Path

_MAKERS = (("rocm", r"MI\d", r"gfx[0-9a-f]+"), ("cuda", r"G?[ABHLV]\d{2,3}\b|RTX", r"sm\d+[af]?"))
"""Kind, models by their first letters, and the compiler's names."""


def of_devices(kind: str, model: str, arch: str) -> str | None:
    """Why a kind of GPUs cannot have such a model or compiler's name; None where nothing speaks against it."""
    for one, models, names in _MAKERS:
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


def of_slurm(cluster: Cluster) -> Iterator[tuple[Path, str]]:
    """Where what Slurm is asked for and the rest of the file disagree: place and sentence."""
    asked = cluster.slurm
    if asked is None:
        return
    gpus, count, cores, client = (
        words.gpus(asked.gres),
        cluster.devices.count,
        asked.cpus_per_task,
        cluster.client_cores,
    )
    if cluster.devices.kind != "cpu" and gpus not in {None, count}:
        yield (
            ("slurm", "gres"),
            f"{asked.gres} is {gpus} of a node's GPUs, and devices.count says {count}; make them alike",
        )
    if cores and client >= cores:
        yield (
            ("slurm", "cpus_per_task"),
            f"client_cores {client} leaves none of {cores} cores to the server; make it less",
        )


def of_environment(document: Any) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any YAML value
    """Secrets anywhere in the file, and variables of vLLM that no known version reads or that blind a gate: place and sentence."""
    yield from _secrets(document, ())
    env = document.get("env") if isinstance(document, dict) else None
    for name, value in (env if isinstance(env, dict) else {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            continue
        if secrets.names_a_secret(name):
            yield ("env", name), f"{name} looks like a secret: {secrets.ADVICE}"
        elif (row := refused.of_variable(name, value)) and row.grade == "error":
            yield ("env", name), str(row)
        elif wrong := env_mistakes.of_no_version(name):
            yield ("env", name), wrong


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


def inside(folder: str) -> str:
    """A folder of the container, which knows no $UID of the node.

    Raises:
        ValueError: for what is no whole path.
    """
    if "$" in folder:
        raise ValueError(f"{folder!r}: nothing is expanded here; write the whole path")
    return words.path(folder)


def program(name: str) -> str:
    """A program of the node, by its name or its whole path.

    Raises:
        ValueError: for anything that waits for a shell.
    """
    if "/" in name:
        return inside(name)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"{name!r} is no program's name, such as python3, or its whole path")
    return name
