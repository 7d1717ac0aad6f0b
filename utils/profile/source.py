"""A trace's bytes: which file of a folder, plain or gzip, read in pieces and never beyond a bound."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

GB = 1_000_000_000
PIECE = 1 << 20
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
PACKED = {
    b"\x28\xb5\x2f\xfd": ("Zstandard", "zstd -d"),
    b"\xfd7zXZ\x00": ("xz", "xz -d"),
    b"BZh": ("bzip2", "bzip2 -d"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"7z\xbc\xaf": ("7-Zip", "7z x"),
    b"\x04\x22\x4d\x18": ("LZ4", "lz4 -d"),
}
"""What a file begins with -> how it is packed, and what unpacks it: torch writes none of them, people do."""
MOST_GB = 8.0
READ, NOT_READ = (".json", ".json.gz"), (".json.zst", ".json.xz", ".json.bz2")
"""Names of traces; the second are taken only to say that they must be unpacked."""
_RANK = re.compile(rb'"rank"\s*:\s*(\d+)')
_RANK_IN_NAME = re.compile(r"(?:^|[^a-z])rank[_-]?(\d+)(?![0-9])")
_HEAD = 1 << 16
"""Where a trace tells its rank, if it does: before its events."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The file that is read, and what there was to choose from."""

    path: Path
    note: str = ""


def unreadable(path: Path, what: str) -> HarnessError:
    """The error of a trace that no profile can be made of."""
    return HarnessError(Exit.TRACE_UNREADABLE, f"{path}: {what}")


def choose(path: Path, rank: int | None) -> Chosen:
    """The trace that a path means: itself, or one of a folder.

    Args:
        path: a file, or a folder with a trace of each rank.
        rank: the one that is asked for; of a folder the lowest, if none is.
    """
    if not path.exists():
        raise unreadable(path, "no such file or folder")
    if path.is_dir():
        return _of_folder(path, rank)
    own = rank_of(path)
    if rank is not None and own not in {rank, None}:
        raise unreadable(
            path, f"is of rank {own}, and --rank {rank} was asked for; give the folder, or the other file"
        )
    return Chosen(path)


def _of_folder(folder: Path, rank: int | None) -> Chosen:
    files = sorted(one for one in folder.iterdir() if one.is_file())
    found = [one for one in files if one.name.endswith(READ)] or [
        one for one in files if one.name.endswith(NOT_READ)
    ]
    if not found:
        raise unreadable(
            folder, "no trace in this folder; a trace is a *.json or *.json.gz, as torch's profiler writes it"
        )
    ranks: dict[int, list[Path]] = {}
    for one in found:
        known = rank_of(one)
        ranks.setdefault(-1 if known is None else known, []).append(one)
    told = ", ".join("unknown" if one < 0 else str(one) for one in sorted(ranks))
    if rank is not None and rank not in ranks:
        raise unreadable(folder, f"no trace of rank {rank} here; there are traces of rank {told}")
    taken = min(ranks, key=lambda one: (one < 0, one)) if rank is None else rank
    path = ranks[taken][-1]
    if len(found) == 1:
        return Chosen(path)
    several = f", the last by name of {len(ranks[taken])}" if len(ranks[taken]) > 1 else ""
    named = "of unknown rank" if taken < 0 else f"of rank {taken}"
    return Chosen(
        path,
        f"{len(found)} traces in {folder.name or folder} (rank {told}): read {path.name}, {named}{several}",
    )


def rank_of(path: Path) -> int | None:
    """A file's rank: from its name, else from its first bytes."""
    if named := _RANK_IN_NAME.findall(path.name.lower()):
        return int(named[-1])
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            head = gzip.GzipFile(fileobj=raw).read(_HEAD) if start == GZIP else raw.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return None  # whoever reads it whole says what is wrong
    before = head.partition(b'"traceEvents"')[0]
    return int(inside[1]) if (inside := _RANK.search(before)) else None


def pieces(path: Path, most_gb: float) -> Iterator[bytes]:
    """The unpacked bytes, a megabyte at a time.

    Args:
        path: of the trace, plain or gzip.
        most_gb: how much is read before it is taken for a bomb.
    """
    read, most = 0, int(most_gb * GB)
    try:
        with path.open("rb") as raw:
            head = raw.read(6)
            for magic, (how, unpack) in PACKED.items():
                if head.startswith(magic):
                    raise unreadable(
                        path,
                        f"is packed as {how}; plain and gzip are read, so unpack it first: {unpack} {path.name}",
                    )
            packed = head.startswith(GZIP)
            raw.seek(len(BOM) if head.startswith(BOM) else 0)
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            while piece := stream.read(PIECE):
                read += len(piece)
                if read > most:
                    size = path.stat().st_size
                    raise unreadable(
                        path,
                        f"unpacks to more than {most_gb:g} GB from {size / 1e6:,.1f} MB ({read / size:,.0f} times its size); "
                        "a profile of 5 to 10 steps is far smaller. If it is meant, raise the bound: --max-gb N",
                    )
                yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise unreadable(
            path,
            f"the packed file is cut short or damaged after {read:,} unpacked bytes ({error}); was the server ended while it wrote?",
        ) from error
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    if not read:
        raise unreadable(path, "is empty; was the server ended before it wrote?")
