"""The Pythons of this machine: on PATH, of pyenv, of uv."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_ASK = "import sys; print(sys.implementation.name, *sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
_NAME = re.compile(r"python3(\.\d+)?")


def found() -> dict[tuple[int, int], str]:
    """Minor version -> an interpreter of it, by rising version; the first on PATH where there are several.

    A launcher such as pyenv's, which only runs a version that was chosen, counts as what it runs.
    """
    home = Path(os.environ.get("HOME") or "/")
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    folders += sorted(pyenv.glob("versions/*/bin")) + sorted(managed.glob("*/bin"))
    answers: dict[tuple[int, int], str] = {}
    for path in dict.fromkeys(one for folder in folders for one in _interpreters(folder)):
        answer = _asked(path)
        if answer:
            answers.setdefault(*answer)
    return dict(sorted(answers.items()))


def _interpreters(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


def _asked(path: Path) -> tuple[tuple[int, int], str] | None:
    try:
        done = subprocess.run(
            [str(path), "-I", "-c", _ASK], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split(maxsplit=3)
    if done.returncode or len(words) < 4 or words[0] != "cpython":  # noqa: PLR2004 - as _ASK prints
        return None
    return (int(words[1]), int(words[2])), words[3].strip()
