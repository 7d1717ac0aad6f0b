"""Compile caches of an allocation: filled by an arm's own canary, and given to each of its runs as a private copy.

What a start compiles (Triton, inductor, FlashInfer, AITER, …) lies below the server's home, which every run has for itself. The
copy keeps a run from changing what the next one starts with, and no arm ever sees what the other one's code left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from utils.node.files import below
from utils.node.record import Cache

FOLDERS = {
    "vllm": ".cache/vllm",
    "inductor": ".cache/inductor",
    "flashinfer": ".cache/flashinfer",
    "tvm": ".cache/tvm-ffi",
    "comgr": ".cache/comgr",
    "triton": ".triton",
    "aiter": ".aiter",
    "tilelang": ".tilelang",
    "flydsl": ".flydsl",
    "cuda": ".nv",
}
"""Name -> folder below the home. The defaults of those programs, but for inductor's, which is in TMPDIR: `variables`."""
_PIECE = 1 << 20
_COMPILED = frozenset({".so", ".o", ".a", ".cubin", ".hsaco", ".co", ".fatbin", ".ptx", ".amdgcn"})
"""Endings of what a compiler leaves; beside it are locks, logs and sources."""
_NAMELESS = ("comgr", "cuda", "flydsl")
"""Caches whose files have no ending, or one that says nothing."""


def variables(home: Path) -> dict[str, str]:
    """What keeps caches below the home whose default place is elsewhere."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(home / FOLDERS["inductor"])}


def keep(home: Path, into: Path) -> list[str]:
    """Copy what a server compiled to where its arm's runs get it from; the names of what there was.

    The server's side wrote it: no folder is looked for behind a link, and what is neither file, folder nor link stays where it is.
    """
    found = [name for name, folder in FOLDERS.items() if _is_there(home, folder)]
    for name in found:
        shutil.copytree(
            home / FOLDERS[name],
            into / name,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=_neither_file_nor_folder,
        )
    return found


def _is_there(home: Path, folder: str) -> bool:
    above = [home, *(home.joinpath(*Path(folder).parts[: n + 1]) for n in range(len(Path(folder).parts)))]
    return all(path.is_dir() and not path.is_symlink() for path in above)


def _neither_file_nor_folder(folder: str, names: list[str]) -> list[str]:
    """Pipes and sockets, whose copy would wait or fail, and devices, which have no end."""
    found = []
    for name in names:
        mode = os.lstat(os.path.join(folder, name)).st_mode  # noqa: PTH118 - many thousand names
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            found.append(name)
    return found


def fill(home: Path, source: Path, filled_by: str) -> list[Cache]:
    """Give a run its private copy.

    Args:
        home: of the run's server, still empty.
        source: what `keep` left; a folder that is not there gives nothing.
        filled_by: whose start made it, for the record.
    """
    given = []
    for name, folder in FOLDERS.items():
        if (source / name).is_dir():
            shutil.copytree(source / name, home / folder, symlinks=True)
            given.append(Cache(name=name, digest=digest(source / name), filled_by=filled_by, read_only=True))
    return given


def compiled(home: Path) -> frozenset[str]:
    """What a server has compiled so far, as `NAME/PATH` of each file; what disappears meanwhile is passed over."""
    return frozenset(
        f"{name}/{path.relative_to(home / folder)}"
        for name, folder in FOLDERS.items()
        if _is_there(home, folder)
        for path in below(home / folder)
        if name in _NAMELESS or path.suffix in _COMPILED
    )


def digest(folder: Path) -> str:
    """Of every file's path and content; links count by where they lead."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            whole.update(f"{path.relative_to(folder)}\0{path.readlink()}\0".encode())
        elif path.is_file():
            content = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    content.update(piece)
            whole.update(f"{path.relative_to(folder)}\0{content.hexdigest()}\0".encode())
    return whole.hexdigest()[:16]
