"""Slurm's commands: each with a time limit, none with variables of a job around us, errors as values.

A person's token (SLURM_JWT, slurm(1)) goes to commands that ask the controller, and no further: Slurm would put it into a
job's environment, for all that runs there to read, and steps that have one are refused by the nodes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.launch.slurm import node_states
from utils.launch.slurm.meanings import Meaning, meanings
from utils.node.host.machine_lock import ANOTHER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WHICH = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS")
"""Variables that say which cluster is meant."""
_WHO = "SLURM_JWT"
"""Who asks, on clusters that know people by tokens; the nodes' own daemons take none."""
_ASK = {"sbatch", "squeue", "scancel", "sinfo", "scontrol", "sacct"}
"""Commands that ask the controller, or the accounting."""
LIMIT_S = 45.0
"""Longer than Slurm's own MessageTimeout retries; one hung client must not hang the launcher."""


class SlurmError(Exception):
    """A command of Slurm's failed, or did not answer in time."""

    def __init__(
        self, command: str, message: str, *, unanswered: bool, means: frozenset[Meaning] = frozenset()
    ) -> None:
        super().__init__(f"{command}: {message}")
        self.message = message
        self.unanswered = unanswered
        """The controller may have done what was asked."""
        self.means = means
        """What Slurm said, where it said something."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as sinfo tells."""

    name: str
    state: str
    reason: str

    @property
    def up(self) -> bool:
        """Whether Slurm starts something there, by a word that is known."""
        return node_states.takes(self.state) is True


def environment() -> dict[str, str]:
    """Ours without what Slurm would read as options, except which cluster is meant; for commands that start something on a node."""
    kept = _WHICH
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept
        or not name.startswith(("SLURM_", "SBATCH_", "SALLOC_", "SQUEUE_", "SINFO_", "SCANCEL_"))
    }


def _token(command: str) -> dict[str, str]:
    return {_WHO: os.environ[_WHO]} if command in _ASK and os.environ.get(_WHO) else {}


def call(command: Sequence[str], limit_s: float = LIMIT_S, env: dict[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        SlurmError: when it fails, is missing, or gives no answer.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            env=(environment() if env is None else env) | _token(command[0]),
            capture_output=True,
            text=True,
            errors="replace",  # a reason that an administrator wrote may have any bytes
            timeout=limit_s,
            check=False,
            cwd="/",
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(command[0], f"no answer within {limit_s:.0f} s", unanswered=True) from None
    except OSError as error:
        raise SlurmError(
            command[0], f"{error.strerror}; run this where Slurm's commands are installed", unanswered=False
        ) from error
    if done.returncode:
        message = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        means = meanings(message)
        if Meaning.NOT_GENUINE in means:
            message += (
                "; has the token in SLURM_JWT run out? `scontrol token` on the cluster makes a new one; without the variable Slurm asks munge"
                if _token(command[0])
                else "; this machine and the controller do not trust each other's messages. Look whether munged runs here, and "
                "whether both clocks agree: `munge -n | unmunge` here, and the same over ssh to the controller"
            )
        if Meaning.NO_CONTROLLER in means:
            message = "this machine knows no controller of Slurm; run this on a login node of the cluster, or name its slurm.conf with SLURM_CONF"
        raise SlurmError(command[0], message, unanswered=Meaning.UNANSWERED in means, means=means)
    return done.stdout


def submit(script: Path) -> int:
    """`sbatch --parsable FILE`: the job's number (`JOB` or `JOB;CLUSTER`, sbatch(1)), with or without what a site's wrapper says around it.

    A file, because sbatch takes a stdin that ends early, as it does when we are killed, for the whole script.
    """
    env = {name: value for name, value in environment().items() if name in {"PATH", ANOTHER, *_WHICH}}
    with tempfile.NamedTemporaryFile(prefix="servematrix-env-") as given:
        given.write(b"".join(os.fsencode(f"{name}={value}\0") for name, value in env.items()))
        given.flush()
        kept_out = [f"--export-file={given.name}"] if _token("sbatch") else []
        said = call(["sbatch", "--parsable", *kept_out, str(script)], env=env).strip()
    numbers = set(
        re.findall(r"^(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?[ \t]*$", said, re.MULTILINE)
    )
    if len(numbers) != 1:
        raise SlurmError("sbatch", f"the answer has no job number, or several: {said!r}", unanswered=True)
    return int(numbers.pop())


def cancel(*, jobs: Sequence[int] = (), names: Sequence[str] = ()) -> None:
    """End jobs with their steps, by number or by name: SIGTERM, and SIGKILL after the cluster's KillWait."""
    if jobs:
        call(["scancel", *map(str, jobs)])
    for name in names:
        call(["scancel", "--me", f"--name={name}"])


def nodes(partition: str = "") -> list[Node]:
    """Every node (of a partition) once, with the reason that Slurm or an administrator gave for its state."""
    of = [f"--partition={partition}"] if partition else []
    lines = call(["sinfo", "--noheader", "--Node", "--format=%N|%T|%E", *of]).splitlines()
    found = [Node(*line.split("|", 2)) for line in lines if line.count("|") >= 2]  # noqa: PLR2004 - three fields
    return list({node.name: node for node in found}.values())


def sbcast(job: int, source: str, target: str) -> subprocess.Popen[bytes]:
    """Begin to send a file to a running job's nodes, from where this runs (sbcast(1))."""
    return subprocess.Popen(
        ["sbcast", "--force", f"--jobid={job}", source, target],
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
