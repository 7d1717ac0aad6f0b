"""Environments of servers and load clients: an explicit list over what their image sets, nothing else of the caller's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.node import caches
from utils.node.host import allocation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from utils.node.spec import NodeJob


TAKEN = "SERVEMATRIX_TAKEN_"
"""Begins the names under which the local launcher hands on what a cluster takes, so that none of it is this program's own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A program's environment, but for what is set where it runs."""

    given: dict[str, str]
    """What is set for it."""
    program: str
    """Its first word; the folder of one with a path comes first on PATH."""
    of_image: bool
    """Whether what the image sets, such as LD_LIBRARY_PATH, is part of it."""
    modules: str = ""
    """A folder that comes first on PYTHONPATH."""

    def whole(self, there: Mapping[str, str] | None = None) -> dict[str, str]:
        """All of it, where this program runs, or where the environment is another one."""
        there = os.environ if there is None else there
        first = [str(Path(self.program).parent)] if "/" in self.program else []
        base: dict[str, str] = {}
        if self.of_image:
            base = {
                name: text for name, text in there.items() if not name.startswith(allocation.NOT_FOR_SERVERS)
            }
        base["PATH"] = ":".join([*first, there.get("PATH", "/usr/bin:/bin")])
        made = base | self.given
        if self.modules:
            made["PYTHONPATH"] = ":".join(filter(None, [self.modules, made.get("PYTHONPATH", "")]))
        return made


def wanted(spec: NodeJob, home: Path, temporary: Path) -> Wanted:
    """What a run's programs get, with folders of their own.

    Args:
        spec: of the run's arm.
        home: the programs' HOME, with their compile caches below it.
        temporary: their TMPDIR.
    """
    given = {"HOME": str(home), "TMPDIR": str(temporary), "LANG": "C.UTF-8"}
    given |= caches.variables(home)
    given |= {"USER": "servematrix", "LOGNAME": "servematrix", "PYTHONUNBUFFERED": "1"}
    there = [(name, _taken(other)) for name, other in spec.cluster.env_from.items()]
    taken = {name: value for name, value in there if value is not None}
    program = spec.program[0] if spec.program else ""
    return Wanted(given | spec.job.serve.env | taken, program, spec.environment == "image")


def _taken(other: str) -> str | None:
    """From the launcher, or in a task of a job from what the node has set."""
    return os.environ.get(f"{TAKEN}{other}", os.environ.get(other))
