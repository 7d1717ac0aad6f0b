"""Nodes that failed, with the line that shows it, until a day has passed or a person clears them."""

from __future__ import annotations

import fcntl
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from matrix.schema import Value
from utils.node.record import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPIRES_S = 24 * 3600.0


class Entry(Value):
    """Why a node is not used."""

    node: str
    cause: str
    evidence: list[str]
    job: str
    """Slurm's name of the job that showed it."""
    since_unix_s: float
    until_unix_s: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A file that all launchers of a user on a controller share; changed under a lock, and always whole."""

    folder: Path

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.folder / "quarantine.json"

    def entries(self, now: float | None = None) -> list[Entry]:
        """What has not expired.

        Raises:
            HarnessError: RECORD_UNREADABLE if the file was damaged.
        """
        try:
            rows = json.loads(self.file.read_bytes())["nodes"]
            found = [Entry.model_validate(row) for row in rows]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise HarnessError(
                Exit.RECORD_UNREADABLE,
                f"{self.file}: not a quarantine file ({error}); remove it to forget its nodes",
            ) from error
        moment = time.time() if now is None else now
        return [entry for entry in found if entry.until_unix_s > moment]

    def add(self, node: str, cause: str, evidence: list[str], job: str) -> Entry:
        """Keep a node out; a second failure starts its day anew."""
        now = time.time()
        entry = Entry(
            node=node, cause=cause, evidence=evidence, job=job, since_unix_s=now, until_unix_s=now + EXPIRES_S
        )
        with self._locked():
            self._write([*(one for one in self.entries() if one.node != node), entry])
        return entry

    def clear(self, nodes: list[str] | None) -> list[str]:
        """Forget nodes, or all of them; those that were there."""
        with self._locked():
            before = self.entries()
            gone = [one.node for one in before if nodes is None or one.node in nodes]
            self._write([one for one in before if one.node not in gone])
        return gone

    def _write(self, entries: list[Entry]) -> None:
        content = {"nodes": [entry.model_dump() for entry in sorted(entries, key=lambda one: one.node)]}
        write_whole(self.file, json.dumps(content, indent=1).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "quarantine.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
