"""Words that end up in a shell, an environment or a batch script: what only a node would trip over is refused at its line."""

from __future__ import annotations

import re

OWNED_ENV = {
    *("PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "BASH_ENV"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"),
}
"""Variables that the harness sets for a server, and a recipe cannot."""
OWNED_BY_RUNS = {"PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "BASH_ENV"}
"""The same for a cluster file, which may say where a node's libraries are."""
_UNEXPANDED = re.compile(r"\$\{?\w*\}?|~|`|%\w?|\{\w*\}")
WAITS = r"(?:^|[=/:,])(\$\{?[A-Za-z_]\w*\}?|~(?=/))"
"""What a shell would expand in a value, also for an editor."""
REGISTRY = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$"
"""A registry's host, also for an editor."""
_STEPS = r"(?!/+$)(?!.*(?:^|/)\.\.(?:/|$))"
WHOLE = rf"^(?=/){_STEPS}(?:[\w/.+@=-]|\$UID\b)+$"
"""What `path` takes, for an editor."""
WHOLE_INSIDE = rf"^(?=/){_STEPS}[\w/.+@=-]+$"
"""What `inside` takes, for an editor."""
PRINTABLE = r"^[^\u0000-\u001f\u007f\u2028\u2029]*$"
"""Most of what `letters` takes, for an editor."""
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""The name of an environment variable, also for an editor."""
DIGITS = 4_000
"""Of a number; Python itself reads a few more."""
DEEPEST = 32
"""Of JSON in a text; as of YAML."""
_ODD = re.compile(r"[^\w/.+@=-]")


def _expand_uid(path: str) -> str:
    return re.sub(r"\$UID\b", "0", path)


def path(value: str) -> str:
    """A folder or file of a node: whole, with nothing to expand but $UID, in letters that lists of mounts and `#SBATCH` lines can bear.

    Raises:
        ValueError: with what to write.
    """
    plain = _expand_uid(value)
    if strange := _UNEXPANDED.search(plain):
        raise ValueError(
            f"{strange[0]} in {value!r} is not expanded; only $UID is, to the user's number. Write the whole path"
        )
    if odd := _ODD.search(plain):
        raise ValueError(
            f"{value!r} has {odd[0]!r} in it, which a path in a batch script may not have; use letters, digits and ._@+=- only"
        )
    if not plain.startswith("/"):
        raise ValueError(f"{value!r} is no whole path: from which folder would it be? Write it from / on")
    if ".." in plain.split("/"):
        raise ValueError(f"{value!r} has .. in it; write the path without it")
    if not plain.strip("/"):
        raise ValueError(f"{value!r} is the node's whole disk; name a folder")
    return value


def variable(name: str) -> str:
    """The name of an environment variable.

    Raises:
        ValueError: for another text.
    """
    if not re.fullmatch(VARIABLE, name):
        raise ValueError(f"{name!r} is not the name of an environment variable")
    return name


def value(text: str) -> str:
    """A variable's value: as it is, since no shell ever reads it.

    Raises:
        ValueError: where something in it waits for a shell.
    """
    if strange := re.search(WAITS, text):
        raise ValueError(
            f"{strange[1]} in {text!r} is not expanded; write the value itself, "
            "or let the cluster file take it from the node: env_from: {NAME: OTHER}"
        )
    return readable(text)


def letters(text: str) -> str:
    """A text that a command line can hold.

    Raises:
        ValueError: for a NUL, a line break or another letter that it cannot.
    """
    if not text.isprintable():
        raise ValueError("has a line break, or another letter that cannot be shown; take it out")
    return text


def readable(text: str) -> str:
    """A text that may be JSON or a number.

    Raises:
        ValueError: for one that no reader takes: deeper than any recipe, or with a number that has thousands of digits.
    """
    if re.search(rf"\d{{{DIGITS}}}", text):
        raise ValueError(f"has a number of {DIGITS:,} digits or more; nothing reads that")
    if text.lstrip()[:1] in ("[", "{"):
        deep = 0
        for letter in text:
            deep += (letter in "[{") - (letter in "]}")
            if deep > DEEPEST:
                raise ValueError(f"is JSON nested more than {DEEPEST} deep; a recipe never is")
    return text


def registry(name: str) -> str:
    """A registry's host.

    Raises:
        ValueError: for an address, or another text.
    """
    host = re.sub(r"^[a-z]+://", "", name).rstrip("/")
    if host != name:
        raise ValueError(f"write {host}, the name of the host alone")
    if not re.fullmatch(REGISTRY, name):
        raise ValueError(f"{name!r} is no registry's host, such as ghcr.io")
    return name


def inside(folder: str) -> str:
    """A folder of the container, which knows no $UID of the node.

    Raises:
        ValueError: for what is no whole path.
    """
    if "$" in folder:
        raise ValueError(f"{folder!r}: nothing is expanded here; write the whole path")
    return path(folder)
