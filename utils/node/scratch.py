"""Folders for the time of a job, below TMPDIR, each with a note of its owner: what a killed one left is cleared by the next."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from matrix.errors import Exit, HarnessError

PREFIX = "sm-"
CACHES = "servematrix-caches-"
"""Of the compile caches that a local job's runs share."""
OWNER = "owner.json"
SOCKET = 107
"""Bytes of a socket's path (unix(7)), without the last one, which is 0."""
BELOW = len("/t/") + 36
"""What a run's TMPDIR and its server add to a job's folder: the latter a UUID."""


def name(allocation: str) -> str:
    """Of a job's folder: the same for all starts of an allocation, since compile caches know paths.

    It is short: sockets below it have 108 bytes for their path.
    """
    return f"{PREFIX}{hashlib.sha256(allocation.encode()).hexdigest()[:8]}"


def prepare(allocation: str) -> tuple[Path, list[str]]:
    """A folder of this job's own, after what killed ones left is gone, and what a person should know of both."""
    told = [f"{dead} was left by a run that was killed; it is gone now" for dead in clear_dead()]
    folder = make(allocation)
    return folder, [*told, *filter(None, [remark(folder)])]


def make(allocation: str) -> Path:
    """A folder of this job's own.

    Raises:
        HarnessError: SETUP_FAILED as `below` does.
    """
    wanted = below() / name(allocation)
    try:
        wanted.mkdir(mode=0o700)
    except FileExistsError:  # a start that was killed left it, or somebody else made it
        wanted = Path(tempfile.mkdtemp(prefix=f"{wanted.name}-"))
    own(wanted)
    return wanted


def below() -> Path:
    """Where such folders are: what TMPDIR names.

    Raises:
        HarnessError: SETUP_FAILED where that cannot be: Python would take another one, which nobody clears away after a job.
    """
    said, taken = os.environ.get("TMPDIR", ""), Path(tempfile.gettempdir())
    try:
        followed = not said or taken.samefile(said)
    except OSError:
        followed = False
    if not followed:
        raise HarnessError(
            Exit.SETUP_FAILED,
            f"TMPDIR is {said}, which is no folder that can be written; make it, or name another one",
        )
    return taken


def remark(folder: Path) -> str:
    """What a person should know of a job's folder: the error of a server that cannot bear it does not say why.

    A long one leaves its sockets no room; torch hands names with a blank to a compiler, which takes them for two.
    """
    if any(letter.isspace() for letter in str(folder)):
        return (
            f"TMPDIR {tempfile.gettempdir()} has a blank in it, and a server that compiles below it may not start; set another one, "
            "such as TMPDIR=/tmp"
        )
    spare = SOCKET - len(os.fsencode(folder)) - BELOW
    if spare >= 0:
        return ""
    return (
        f"TMPDIR {tempfile.gettempdir()} is {-spare} letters too long for the sockets that the server makes below it, and it may not "
        "start; set a shorter one, such as TMPDIR=/tmp"
    )


def own(folder: Path) -> None:
    """Note that this process uses a folder; without the note nobody clears it."""
    with contextlib.suppress(OSError):
        (folder / OWNER).write_text(json.dumps(_me()))


def clear(allocation: str) -> None:
    """Take away what a job left whose process is known to be gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{name(allocation)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def clear_dead() -> list[Path]:
    """Take away folders of processes of this machine that are gone; those of others, and without a note, are left."""
    where = Path(tempfile.gettempdir())
    found = [*where.glob(f"{PREFIX}*/{OWNER}"), *where.glob(f"{CACHES}*/{OWNER}")]
    dead = [note.parent for note in found if _is_dead(note)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return dead


def _me() -> dict[str, Any]:
    return {**_here(), "pid": os.getpid(), "began": _began(os.getpid())}


def _here() -> dict[str, str]:
    """Where a number of a process means something: one start of one machine, one namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = space = ""
    return {"host": platform.node(), "boot": boot, "space": space}


def _is_dead(note: Path) -> bool:
    try:
        owner = json.loads(note.read_text())
        mine = note.lstat().st_uid == os.getuid()
        here = _here()
        if not mine or owner["host"] != here["host"]:
            return False
        if owner["boot"] != here["boot"]:
            return True  # this machine was started again since
        return bool(owner["space"] == here["space"] and _began(int(owner["pid"])) != owner["began"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _began(pid: int) -> str:
    """When a process began, in ticks after the machine did (proc(5), field 22): a number that is used again has another one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
