"""Asks the vendors' tools, and keeps why one did not answer: a silent tool is a fact too."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60
_PR_SET_PDEATHSIG = 1
LINES = 5
"""Warnings of a tool that are kept."""


@dataclass(frozen=True)  # no slots: nodes may have Python 3.9
class Said:
    """What a command printed, or why it did not."""

    text: str
    failure: str = ""
    """In one line: missing, its error, or its silence."""


def ask(*command: str, limit_s: float = LIMIT_S) -> Said:
    """Run a tool; nothing of what it prints is used where it fails."""
    name = " ".join(command[:2])
    if not shutil.which(command[0]):
        return Said("", f"{command[0]} is missing on this node")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Said("", f"{name} gave no answer within {limit_s:.0f} s")
    except OSError as error:
        return Said("", f"{name}: {error.strerror}")
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no word"]
        return Said("", f"{name} failed with {done.returncode}: {lines[-1].strip()[:200]}")
    return Said(done.stdout)


def die_with_parent(sig: int) -> None:
    """Ask the kernel for a signal when the parent dies (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sig, 0, 0, 0)


def tool(*command: str) -> str:
    """What a tool prints; empty where it is missing, fails, or hangs."""
    return ask(*command).text


def text_of(path: Path) -> str:
    """A small file of the kernel's; empty where it is not there. Names of processes are any bytes."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def gpu_entries(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The GPUs of amd-smi's JSON, and the lines around it.

    The JSON is a list of GPUs, in newer versions below `gpu_data`. It begins at the start of a line; warnings, which some
    versions print to stdout, may be before it and behind it.
    """
    for match in re.finditer(r"^[\[{]", text, re.MULTILINE):
        try:
            content, length = json.JSONDecoder().raw_decode(text[match.start() :])
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            content = content.get("gpu_data")
        if isinstance(content, list) and (not content or isinstance(content[0], dict)):
            around = text[: match.start()] + text[match.start() + length :]
            return [gpu for gpu in content if isinstance(gpu, dict)], _lines(around)
    return [], [f"no JSON in its answer: {line}" for line in _lines(text)[:1]]


def _lines(text: str) -> list[str]:
    return [line.strip()[:200] for line in text.splitlines() if line.strip()][:LINES]


def emit(**event: object) -> None:
    """One line for the launcher, in the shape of utils.node.events; the token says that it is not from a container."""
    ours = {"at_s": round(time.monotonic(), 6), "token": os.environ.get("SERVEMATRIX_TOKEN", "")}
    sys.stdout.write(json.dumps({**ours, **event}) + "\n")
    sys.stdout.flush()
