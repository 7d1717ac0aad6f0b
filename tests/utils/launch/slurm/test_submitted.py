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
        "Submitted batch job 123 on cluster alpha",
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


WHAT_CAME = """#!/bin/sh
env >"$0.env"
for word; do case $word in --export-file=*) tr '\\0' '\\n' <"${word#*=}" >"$0.job";; esac; done
echo "$@" >"$0.words"
echo 7
"""


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in the place of Slurm's that write down what they were given."""
    for name in ("sbatch", "squeue", "scancel", "enroot"):
        (folder / name).write_text(WHAT_CAME)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_CLUSTERS", "alpha")
    monkeypatch.setenv("HF_TOKEN", "mine")


def test_a_persons_token_reaches_the_controller_and_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm hands sbatch's environment on to the job, SLURM_JWT with it, unless a file says what the job has."""
    commands(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_JWT", "eyJ.a.b")
    assert client.submit(tmp_path / "script") == 7
    client.call(["squeue"])
    client.cancel(jobs=[7])
    client.call(["enroot", "version"])
    assert "SLURM_JWT" not in (tmp_path / "enroot.env").read_text()
    for name in ("sbatch", "squeue", "scancel"):
        assert "SLURM_JWT=eyJ.a.b" in (tmp_path / f"{name}.env").read_text().splitlines(), name
        assert "eyJ" not in (tmp_path / f"{name}.words").read_text()
    assert (tmp_path / "sbatch.job").read_text().splitlines() == [
        f"PATH={tmp_path}:/usr/bin:/bin",
        "SLURM_CLUSTERS=alpha",
    ]
    assert "SLURM_JWT" not in client.environment(), "srun and sbcast hand it to a node, which takes none"


def test_without_a_token_nothing_is_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters that know people by munge."""
    commands(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_JWT", "")
    assert client.submit(tmp_path / "script") == 7
    assert (tmp_path / "sbatch.words").read_text() == f"--parsable {tmp_path}/script\n"
    assert not {"SLURM_JWT", "HF_TOKEN"} & {line.split("=")[0] for line in (tmp_path / "sbatch.env").read_text().splitlines()}  # fmt: skip


@pytest.mark.parametrize(
    ("token", "advice"), [("eyJ.a.b", "scontrol token"), ("", "whether munged runs here")]
)
def test_a_controller_that_does_not_know_us_is_told_by_what_it_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, advice: str
) -> None:
    """A token that has run out gives the same words as clocks that differ (seen with Slurm 22.05)."""
    (tmp_path / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Zero Bytes were transmitted or received' >&2; exit 1\n"
    )
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JWT", token)
    with pytest.raises(client.SlurmError, match=advice) as caught:
        client.call(["squeue"])
    assert "eyJ" not in str(caught.value)
