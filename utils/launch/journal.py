"""What a launcher that comes after a killed one needs to know, kept below `launch/` of the results folder."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from matrix.schema import Value
from utils.node import files, record

if TYPE_CHECKING:
    from pathlib import Path


class Memory(Value):
    """Of one job."""

    attempt: int = 0
    name: str = ""
    """Slurm's name of the attempt, as it was submitted: a commit made since must not hide the job."""
    token: str = Field(default_factory=lambda: secrets.token_hex(8))
    """What the attempt's batch script says carries it."""
    tries: int = 0
    """Infra failures of this call so far."""
    slurm: int | None = None
    """Number of the attempt's job, once Slurm has told it."""
    asked_again: bool = False
    """It was submitted a second time, because no job of its name was to be seen; so there may be two."""
    node: str = ""
    earlier: list[str] = []
    """Nodes on which Slurm had begun the attempt's job before it began it again on `node`."""
    starts: dict[int, str] = {}
    """Of the attempt's job: the node of each start that was heard of, by how often Slurm had begun it again."""
    done: bool = False
    kind: str | None = None
    """Class of the failure that it ended with."""
    exit: int = 0
    tried: list[str] = []
    """Nodes on which it failed in this call."""
    causes: list[str] = []
    """Of the infra failures of this call."""

    def anew(self) -> Memory:
        """Of the first attempt of another call."""
        return Memory(attempt=self.attempt + 1)

    def next_try(self, tried: list[str], cause: str) -> Memory:
        """Of the next attempt after an infra failure."""
        return Memory(
            attempt=self.attempt + 1, tries=self.tries + 1, tried=tried, causes=[*self.causes, cause]
        )


@dataclass(frozen=True, slots=True)
class Notebook:
    """A job's files below `launch/`, and where broken blocks go."""

    out: Path
    job: str

    @property
    def file(self) -> Path:
        """The memory."""
        return self.out / "launch" / f"{self.job}.json"

    def beside(self, attempt: int, suffix: str) -> Path:
        """Another file of an attempt."""
        return self.file.with_name(f"{self.job}.{attempt}.{suffix}")

    def read(self) -> Memory | None:
        """What was kept; None before anything was."""
        try:
            return Memory.model_validate(json.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return None

    def write(self, memory: Memory) -> None:
        """Keep it, whole or not at all."""
        files.write_whole(self.file, memory.model_dump_json(indent=1).encode())

    def call_off(self) -> None:
        """Note that the job is ended by hand, so that whoever runs it again measures it."""
        memory = self.read()
        if memory and memory.name and not memory.done:
            self.beside(memory.attempt, "cancelled").touch()

    def is_called_off(self, attempt: int) -> bool:
        """Whether that was noted of an attempt."""
        return self.beside(attempt, "cancelled").exists()

    def set_aside(self, results: Path, attempt: int, why: str) -> None:
        """Keep what a broken block left, marked, where nothing judges it."""
        log = results.parent / f"{results.name}.slurm.log"
        if not results.exists() and not log.exists():
            return
        target = self._aside(attempt)
        self._keep_apart(target.parent)
        if results.exists():
            shutil.move(results, target)
        else:
            target.mkdir()
        if log.exists():
            shutil.move(log, target / "slurm.log")
        self.mark(target, why)

    def place(self, attempt: int) -> tuple[Path, int]:
        """Where the results of an attempt belong now, and the attempt that came after it; 0 where none did."""
        known = self.read()
        if known is None or known.attempt <= attempt:
            return self.out / "jobs" / self.job, 0
        return self._aside(attempt), known.attempt

    def aside(self, attempt: int, why: str) -> Path:
        """A new folder for what a broken block left, marked."""
        target = self._aside(attempt)
        self._keep_apart(target.parent)
        target.mkdir()
        self.mark(target, why)
        return target

    def mark(self, folder: Path, why: str) -> None:
        """Say that nothing judges what lies in a folder."""
        files.write_whole(folder / record.BROKEN, json.dumps({"why": why}).encode())

    def _keep_apart(self, folder: Path) -> None:
        """Before anything is there: whoever is killed between moving results and saying why leaves nothing that is judged."""
        folder.mkdir(parents=True, exist_ok=True)
        self.mark(folder, "set aside")

    def _aside(self, attempt: int) -> Path:
        base = self.out / "broken" / f"{self.job}.{attempt}"
        target, number = base, 1
        while target.exists():
            target, number = base.with_name(f"{base.name}-{number}"), number + 1
        return target
