"""What a run left beside a record, read within bounds: the raw requests, and the server's log of the load."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.node.completion import TOKENS, Streamed
from utils.node.gates_words import compilation
from utils.node.packed import unpacked
from utils.node.record import Files
from utils.node.requests_raw import RawLoad

if TYPE_CHECKING:
    import io
    from pathlib import Path

REQUESTS, ITLS, LOG = "requests.json.gz", "itl.json.gz", "server.log"
MOST_REQUESTS = 64_000_000
"""Bytes of requests.json, unpacked: some hundred thousand requests."""
MOST_ITLS = 160_000_000
"""Bytes of itl.json, unpacked: some 25 million tokens."""
MOST_LOG = 64_000_000
"""Bytes of the server's log during one load."""
CUT = 256_000_000
"""A log of so many bytes was cut at its front on the way (utils/node/host/send.py), so that places in it mean nothing."""
MOST_ANSWERS = 10 * TOKENS
"""Of the one streamed completion."""
MOST_NEW = 20
"""Files of a compile cache that are named."""
MOST_FOUND = 300
"""Letters of what a gate found."""
MOST_SPECIAL = 16
"""Tokens that a tokenizer adds to a prompt."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is known of a load besides the record's own words."""

    raw: RawLoad
    files: Files
    """As they are."""
    call_s: tuple[float, float]
    special_tokens: int
    server_log: str | None
    """What the server said during the load; None where the log was too large to keep whole."""
    warm_log: str | None
    """The same from the warm-up on."""
    streamed: Streamed
    """A completion that was read answer by answer."""
    compiled: tuple[str, ...] = ()
    """What was new in the compile caches; nothing is known of it for records before it was looked at."""
    warm_failed: int = 0
    """Requests of the warm-up that did not complete; as little is known of it then."""
    log_unread: int = 0
    """Bytes of the server's log that were too many to look at."""
    compiled_first: str = ""
    """What was compiled in the first of two loads; empty where there was one."""


def read(folder: Path) -> Left:
    """A point's folder, with the server's log in the folder above it.

    Raises:
        ValueError: what is missing, too large, or not what it should be; also as OSError, KeyError, TypeError.
    """
    requests, itls = bounded(folder / REQUESTS, MOST_REQUESTS), bounded(folder / ITLS, MOST_ITLS)
    rows = _unpacked(requests, MOST_REQUESTS)
    node = rows["node"]
    start, end = (float(edge) for edge in node["call_s"])
    special = int(node["special_tokens"])
    if not (0 <= start <= end and 0 <= special <= MOST_SPECIAL):
        raise ValueError(
            f"{REQUESTS}: its call ends before it starts, or a prompt has {special} special tokens"
        )
    since, letters = (int(number) for number in node["server_log"])
    return Left(
        raw=RawLoad.of_columns(rows, _unpacked(itls, MOST_ITLS)),
        files=Files(
            requests=REQUESTS,
            requests_sha256=hashlib.sha256(requests).hexdigest(),
            requests_bytes=len(requests),
            itls=ITLS,
            itls_sha256=hashlib.sha256(itls).hexdigest(),
            itls_bytes=len(itls),
        ),
        call_s=(start, end),
        special_tokens=special,
        server_log=_log(folder.parent / LOG, since, letters),
        warm_log=_log(folder.parent / LOG, *(int(number) for number in node["warm_log"])),
        streamed=_streamed(node["streamed"]),
        compiled=tuple(str(name)[:300] for name in node.get("compiled", ())[:MOST_NEW]),
        warm_failed=max(0, int(node.get("warm_failed", 0))),
        log_unread=max(0, int(node.get("log_unread", 0))),
        compiled_first=_first(folder.parent / LOG, node["first_load"]) if "first_load" in node else "",
    )


def _first(path: Path, said: dict[str, Any]) -> str:
    """Why a point was loaded twice: its first load has to have compiled something."""
    log = _log(path, *(int(number) for number in said["server_log"]))
    files = [str(name)[:300] for name in said["compiled"][:MOST_NEW]]
    found = str(said["found"])[:MOST_FOUND] if log is None else compilation(log, files)
    if not found:
        raise ValueError(f"{REQUESTS}: a first load is said to have compiled something, and did not")
    return found


def _log(path: Path, since: int, letters: int) -> str | None:
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size >= CUT:
            return None
        if not (0 <= since <= size and 0 <= letters <= size - since and letters <= MOST_LOG):
            raise ValueError(f"{LOG}: shorter than the part that the record names")
        file.seek(since)
        return file.read(min(size - since, 4 * letters)).decode(errors="replace")[:letters]


def _streamed(said: dict[str, Any]) -> Streamed:
    counted = None if said["counted"] is None else int(said["counted"])
    tokens = [None if one is None else int(one) for one in said["tokens"]]
    if len(tokens) > MOST_ANSWERS:
        raise ValueError(
            f"{REQUESTS}: {len(tokens)} answers of a completion that had at most {TOKENS} tokens"
        )
    return Streamed(tokens, counted, str(said["failed"])[:1000])


def bounded(path: Path, most: int) -> bytes:
    """All of a file that a guest may have left.

    Raises:
        ValueError: for one of more bytes; also as OSError.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path.name}: larger than {most:,} bytes")
    return content


def _unpacked(content: bytes, most: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(unpacked(content, most))
    except ValueError as error:
        raise ValueError(f"a file of raw requests cannot be read: {error}") from error
    return found


def opened(path: Path) -> io.BufferedReader:
    """A file that a guest may have left: no link is followed, no pipe waited for."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path.name}: not a regular file")
    return file
