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


def test_a_reason_in_another_alphabet_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Administrators write reasons in what their terminals have; Slurm hands the bytes on."""
    program = tmp_path / "sinfo"
    program.write_text("#!/bin/sh\nprintf 'mi0|drained|L\\374fter\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (node,) = client.nodes()
    assert (node.name, node.up, node.reason) == ("mi0", False, "L\ufffdfter")


@pytest.mark.parametrize(
    ("state", "up"),
    [("idle", True), ("mixed-", True), ("allocated", True), ("completing", True), ("planned", True), ("down*", False),
     ("idle*", False), ("drained", False), ("inval", False), ("blocked", False), ("reboot^", False), ("idle@", False), ("dreaming", False)],
)  # fmt: skip
def test_a_node_of_an_unknown_state_is_not_up(state: str, up: bool) -> None:  # noqa: FBT001 - what is tested
    """As in what doctor sees: one list of words for both."""
    assert client.Node("n", state, "none").up is up


def test_which_controller_is_meant_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where clients have no slurm.conf and fetch it; what an option would be is not."""
    for name in ("SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_PARTITION", "SBATCH_QOS"):
        monkeypatch.setenv(name, "x")
    assert {"SLURM_CONF_SERVER", "SLURM_CLUSTERS"} <= set(client.environment())
    assert not {"SLURM_PARTITION", "SBATCH_QOS"} & set(client.environment())
