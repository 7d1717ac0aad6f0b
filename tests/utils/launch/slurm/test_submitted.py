"""What sbatch, or a site's wrapper of it, prints for a job that was taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.launch.slurm import client


def says(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program `sbatch` that prints a text."""
    program = folder / "sbatch"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    "text",
    [
        "123",
        "123;alpha",
        "123\nyour project has 1000 hours left",
        "Welcome to the cluster\n\n123",
        "Submitted batch job 123",
        "sbatch: lua: job 7 of this user today\n123;alpha\n",
        "123\n123",
        "123  ",
    ],
)
def test_the_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """In a line of its own, once."""
    says(tmp_path, text, monkeypatch)
    assert client.submit(tmp_path / "script") == 123


@pytest.mark.parametrize("text", ["", "123\n124", "job 123 was taken", "queued"])
def test_what_is_not_sure_is_looked_up_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """As after no answer at all: the job may be there, and is not submitted twice."""
    says(tmp_path, text, monkeypatch)
    with pytest.raises(client.SlurmError) as caught:
        client.submit(tmp_path / "script")
    assert caught.value.unanswered
