"""An attempt at a job and what follows it, for the tests here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.utils.launch.slurm.test_batch import some_attempts
from utils.launch.slurm import submission
from utils.launch.slurm.tracking import Tracking
from utils.node.events import Event

TOKEN = "00112233445566ff"  # noqa: S105 - of the golden scripts


def an_attempt(out: Path, **changes: Any) -> submission.Attempt:
    """One with shared storage, so that its events are read from a file."""
    attempt = next(one for name, one in some_attempts().items() if "tiny" in name)
    return replace(attempt, order=replace(attempt.order, out=out), **changes)


def tracked(tmp_path: Path, heard: list[Event]) -> tuple[Tracking, Path]:
    attempt = an_attempt(tmp_path)
    attempt.results.mkdir(parents=True)
    track = Tracking(attempt, heard.append, lambda *_: None, lambda _: None, 1.0)
    return track, attempt.results / "events.jsonl"
