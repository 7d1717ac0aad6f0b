"""Where this machine gets packages from, in pip's words and in uv's: what pip is configured to ask, and nothing else of its settings.

Standard library alone: the first use of a checkout needs it before there is any package.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

KEPT = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "timeout",
    "retries",
    "cache-dir",
    "keyring-provider",
)
"""Settings of pip that say where packages come from. The others (user, target, prefix, constraint, …) say where they go, or which ones: here a lock does."""
_SCOPES = ("global", "site", "user", "install", ":env:")
"""By rising priority, as in pip."""
KEPT_BY_UV = re.compile(
    r"UV_(CACHE_DIR|NO_CACHE|DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|HTTP_TIMEOUT|NATIVE_TLS|SYSTEM_CERTS|"
    r"INSECURE_HOST|CONCURRENT_\w+|LINK_MODE|KEYRING_PROVIDER|OFFLINE|NO_PROGRESS|REQUEST_TIMEOUT|HTTP_RETRIES)"
)
_FOREIGN = re.compile(r"(PIP|UV|PYTHON|CONDA|VIRTUAL_ENV)(_.*)?|PYTHON.*|__PYVENV_LAUNCHER__")


def python_with_pip() -> str:
    """This interpreter, or the one that its environment was made from, whichever has pip."""
    base: str = getattr(sys, "_base_executable", sys.executable)
    return sys.executable if importlib.util.find_spec("pip") else base


@cache
def settings(python: str) -> dict[str, str]:
    """Settings of pip that are kept, by name: of its files and of the environment, as that Python's pip reads them.

    Args:
        python: an interpreter with pip.
    """
    command = [python, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=_own_pip())
    return parsed(said.stdout)


def _own_pip() -> dict[str, str]:
    """The environment of a pip that is asked for its settings: all of PIP_*, nothing that changes which pip it is."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def parsed(config: str) -> dict[str, str]:
    """The lines of `pip config list` as settings; the environment's win, as in pip."""
    found: dict[str, tuple[int, str]] = {}
    for line in config.splitlines():
        match = re.fullmatch(r"([\w:]+)\.([\w-]+)=(.*)", line)
        if match and match[1] in _SCOPES and match[2] in KEPT:
            rank = _SCOPES.index(match[1])
            if match[2] not in found or found[match[2]][0] <= rank:
                found[match[2]] = (rank, _unquoted(match[3]))
    return {name: value for name, (_, value) in found.items() if value}


def _unquoted(text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return str(value)


def for_pip(python: str) -> dict[str, str]:
    """The environment of a pip that installs what a lock says, where it is told to, whatever else a person has configured."""
    own = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings(python).items()}
    return (
        _clean()
        | own
        | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    )


def for_uv(python: str, cache_below: Path) -> dict[str, str]:
    """The environment of uv: pip's certificates and proxy beside its own settings of the network.

    Args:
        python: an interpreter with pip.
        cache_below: a folder for uv's cache, where the usual one cannot be written.
    """
    known = settings(python)
    made = _clean() | {name: value for name, value in os.environ.items() if KEPT_BY_UV.fullmatch(name)}
    made |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"}
    made.setdefault("UV_SYSTEM_CERTS", "1")  # as pip does: certificates that the machine trusts are trusted
    if "cert" in known:
        made.setdefault("SSL_CERT_FILE", known["cert"])
    if "proxy" in known:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            if name not in made and name.lower() not in made:
                made[name] = known["proxy"]
    if not ({"UV_CACHE_DIR", "UV_NO_CACHE"} & set(made)) and not _can_write(_usual_cache()):
        made["UV_CACHE_DIR"] = str(cache_below)
    return made


def uv_arguments(known: dict[str, str]) -> list[str]:
    """Settings of pip as arguments of uv."""
    arguments = []
    for name in ("extra-index-url", "find-links", "index-url"):
        for part in known.get(name, "").split():
            arguments += [f"--{name}", part]
    if "extra-index-url" in known:
        arguments += ["--index-strategy", "unsafe-best-match"]  # as pip does; hashes decide what is taken
    for host in known.get("trusted-host", "").split():
        arguments += ["--allow-insecure-host", host]
    if known.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        arguments.append("--no-index")
    return arguments


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}


def _usual_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or "/nonexistent") / ".cache")


def _can_write(folder: Path) -> bool:
    """Whether a folder is there and can be written, or could be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
