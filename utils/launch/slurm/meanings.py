"""What Slurm's commands mean when they refuse: their words are read here, and nowhere else. Who decides asks for a meaning."""

from __future__ import annotations

import enum
import re


class Meaning(enum.Enum):
    """What a message of sbatch, srun, sinfo or squeue comes to; one may have several."""

    UNANSWERED = r"(?i)timed out|Unable to contact|Zero Bytes|Communication|connection"
    """The controller may have done what was asked."""
    NOT_GENUINE = r"Zero Bytes|[Mm]unge|credential|[Aa]uthentication|auth/jwt"
    """This machine and the controller do not trust each other's messages."""
    NO_CONTROLLER = r"configuration source|DNS SRV"
    """This machine knows no cluster."""
    PARTITION = r"partition"
    """It is about the partition that was asked for."""
    NO_SUCH_NODES = r"not available|Invalid node name"
    """The nodes that are left do not fit, or one that was named is unknown."""
    NOT_ALLOCATED = r"Unable to allocate resources"
    """srun got no allocation."""
    BUSY = r"busy|immediate|Unable to allocate resources: Requested"
    """No node was free."""
    NO_PROGRAM = r"execve"
    """The node lacks the program."""


def meanings(text: str) -> frozenset[Meaning]:
    """All that a message means; empty for one that is in no row."""
    return frozenset(one for one in Meaning if re.search(one.value, text))
