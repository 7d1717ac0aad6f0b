"""Nodes that failed, with the line that shows it, until a day has passed or a person clears them."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from matrix.schema import Value
from utils.node import file_lock
from utils.node.files import write_whole

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
    """The scheduler's name of the job that showed it."""
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
        return self._read(now)[0]

    def _read(self, now: float | None = None) -> tuple[list[Entry], dict[str, float]]:
        """Nodes, and causes that several nodes showed with the moment until which that is remembered."""
        try:
            content = json.loads(self.file.read_bytes())
            found = [Entry.model_validate(row) for row in content["nodes"]]
            shared = {str(cause): float(until) for cause, until in content.get("shared", {}).items()}
        except FileNotFoundError:
            return [], {}
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise HarnessError(
                Exit.RECORD_UNREADABLE,
                f"{self.file}: not a quarantine file ({error}); remove it to forget its nodes",
            ) from error
        moment = time.time() if now is None else now
        kept = {cause: until for cause, until in shared.items() if until > moment}
        return [entry for entry in found if entry.until_unix_s > moment], kept

    def blame(self, node: str, cause: str, evidence: list[str], job: str, *, clears_at: int = 0) -> list[str]:
        """Keep a node out; a second failure starts its day anew.

        Args:
            node: that failed.
            cause: why, in words.
            evidence: the lines that show it.
            job: the scheduler's name of the job that showed it.
            clears_at: so many nodes with one cause are too many to be all broken; 0 for a cause that is evidence alone.

        Returns:
            Those nodes, whichever launcher saw them fail: none of them is kept out for it then, nor any other one for a day.
        """
        now = time.time()
        times = {"since_unix_s": now, "until_unix_s": now + EXPIRES_S}
        entry = Entry(node=node, cause=cause, evidence=evidence, job=job, **times)
        with self._locked():
            entries, shared = self._read()
            others = [one.node for one in entries if one.cause == cause and one.node != node]
            if clears_at and (len(others) + 1 >= clears_at or cause in shared):
                self._write(
                    [one for one in entries if one.cause != cause], {**shared, cause: now + EXPIRES_S}
                )
                return [*(others or ["other nodes"]), node]
            self._write([*(one for one in entries if one.node != node), entry], shared)
        return []

    def clear(self, nodes: list[str] | None) -> list[str]:
        """Forget nodes, or all of them; those that were there."""
        with self._locked():
            before, shared = self._read()
            gone = [one.node for one in before if nodes is None or one.node in nodes]
            self._write([one for one in before if one.node not in gone], {} if nodes is None else shared)
        return gone

    def _write(self, entries: list[Entry], shared: dict[str, float]) -> None:
        rows = [entry.model_dump() for entry in sorted(entries, key=lambda one: one.node)]
        content = {"nodes": rows, "shared": shared}
        write_whole(self.file, json.dumps(content, indent=1).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "quarantine.lock").open("w") as lock:
            file_lock.hold(lock, self.folder, file_lock.OF_STATE)
            yield
