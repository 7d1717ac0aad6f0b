"""The `slurm:` of a cluster file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from matrix import words
from matrix.schema import Strict
from matrix.slurm.submit_options import SET_ELSEWHERE, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.strict_yaml import Path


PARTITION = r"[\w.+@-]+(,[\w.+@-]+)*"
GRES = r"\w+(:[\w.+-]+){0,2}(,\w+(:[\w.+-]+){0,2})*"
PROGRAM = r"[\w.+-]+"
"""Of texts, also for an editor."""


def _partition(name: str) -> str:
    """One partition of Slurm, or several with commas between them.

    Raises:
        ValueError: for another text.
    """
    if not re.fullmatch(PARTITION, name or "x"):
        meant = re.sub(r"\s|\*$", "", name)  # sinfo marks the default one by a star
        hint = f"; write {meant}" if re.fullmatch(PARTITION, meant) else ""
        raise ValueError(f"{name!r} is no partition{hint}; sinfo -o %R lists them")
    return name


def _gres(text: str) -> str:
    """Generic resources, as sbatch's --gres wants them.

    Raises:
        ValueError: for another text.
    """
    if text.startswith("gres"):
        raise ValueError(f"write {re.sub('^gres[:/]', '', text)!r}: sbatch's --gres has no `gres` in front")
    if not re.fullmatch(GRES, text or "x"):
        raise ValueError(
            f"{text!r} is no generic resource; write NAME:TYPE:COUNT or NAME:COUNT, such as gpu:8"
        )
    return text


def gpus(text: str) -> int | None:
    """How many GPUs a --gres asks for; None where it asks for none, or the count is no plain number."""
    for one in text.split(","):
        name, *more = one.split(":")
        if name == "gpu":
            count = more[-1] if more and more[-1].isdigit() else "1" if len(more) < 2 else ""  # noqa: PLR2004 - NAME:TYPE:COUNT
            return int(count) if count else None
    return None


def _program(name: str) -> str:
    """A program of the node, by its name or its whole path.

    Raises:
        ValueError: for anything that waits for a shell.
    """
    if "/" in name:
        return words.inside(name)
    if not re.fullmatch(PROGRAM, name):
        raise ValueError(f"{name!r} is no program's name, such as python3, or its whole path")
    return name


def _for_editors(schema: dict[str, Any]) -> None:
    """What the checks of single values refuse, in a schema's words."""
    properties = schema["properties"]
    properties["partition"]["pattern"] = f"^$|^{PARTITION}$"
    properties["gres"] |= {"pattern": f"^$|^{GRES}$", "not": {"pattern": "^gres"}}
    properties["python"]["pattern"] = rf"{words.WHOLE_INSIDE}|^{PROGRAM}$"
    properties["options"] |= {
        "propertyNames": {"pattern": "^[a-z][a-z0-9-]*$", "not": {"enum": sorted(SET_ELSEWHERE)}},
        "additionalProperties": {"type": "string", "pattern": words.PRINTABLE},
    }


class Slurm(Strict):
    """What a job asks Slurm for. Empty values are left to Slurm's own defaults."""

    model_config = ConfigDict(json_schema_extra=_for_editors)

    partition: Annotated[str, AfterValidator(_partition)] = ""
    """Of the cluster."""
    gres: Annotated[str, AfterValidator(_gres)] = ""
    """Generic resources of a node, such as gpu:8."""
    cpus_per_task: int = Field(0, ge=0)
    """Cores of a node."""
    options: dict[Annotated[str, AfterValidator(check)], Annotated[str, AfterValidator(words.letters)]] = {}
    """More options of sbatch by their long names, such as {account: perf, qos: bench}."""
    poll_s: float = Field(5.0, ge=0.05)
    """Least time between two queries of the controller, by all launchers of one user together."""
    script_bytes: int = Field(3_500_000, ge=1000)
    """The longest batch script (max_script_size of slurm.conf, 4 MiB by default); above it the payload goes by sbcast."""
    python: Annotated[str, AfterValidator(_program)] = "python3"
    """The nodes' Python (3.9 or newer) for what runs outside the container."""


def disagreements(asked: Slurm, count: int | None, client: int) -> Iterator[tuple[Path, str]]:
    """Where what Slurm is asked for and the rest of the file disagree: place and sentence.

    Args:
        asked: of Slurm.
        count: GPUs of a node, by the rest of the file; None where it has none.
        client: cores of the load client.
    """
    number, cores = gpus(asked.gres), asked.cpus_per_task
    if None not in {number, count} and number != count:
        yield (
            ("slurm", "gres"),
            f"{asked.gres} is {number} of a node's GPUs, and devices.count says {count}; make them alike",
        )
    if cores and client >= cores:
        yield (
            ("slurm", "cpus_per_task"),
            f"client_cores {client} leaves none of {cores} cores to the server; make it less",
        )
