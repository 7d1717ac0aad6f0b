"""What all launchers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matrix.cluster import Cluster
    from matrix.plan import Job, Plan
    from utils.node.events import Event


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run, wherever that is."""

    plan: Plan
    clusters: dict[str, Cluster]
    tree: Path
    out: Path
    base_tree: Path | None = None
    """Where the base's kernels and models are, if that is not `tree`."""
    environment: Path | None = None
    """An environment with a server that was made by hand, for runtime none."""
    profile: str = ""
    """`decode` or `prefill`: some steps of each point are profiled, and nothing is measured."""
    known_images: frozenset[str] | None = None
    """Images of this checkout's own recipes, where the order's tree is another one; None where it is this one."""


class Launcher(Protocol):
    """Carries jobs to where they run."""

    def check(self, order: Order, job: Job) -> None:
        """What can be known to be missing before anything is made.

        Raises:
            HarnessError: USAGE.
        """

    def claim(self, order: Order) -> Order:
        """Take the results folder for this run alone; the order as it will be run, which may be one that was begun there.

        Raises:
            HarnessError: OUT_IN_USE if another run is in it, USAGE if it cannot be written.
        """

    def unfinished(self, order: Order, below: Path) -> Path | None:
        """A results folder of the very same points whose launcher was killed, if this launcher can go on with it."""

    def batch(self, order: Order, job: Job) -> str:
        """What is handed to the cluster for a job."""

    def script(self, order: Order, job: Job, arm: str = "") -> str:
        """The commands of a job of one arm, named where there are two, for a person to run by hand."""

    def run(self, order: Order, emit: Callable[[Event], None]) -> Exit:
        """Run all jobs of an order to their end; the outcome is the largest exit code."""


ANOTHER = "give another --out, or take that folder away"


def holds_nothing(out: Path) -> None:
    """A folder is new, or empty: nobody's files come to be among results.

    Raises:
        HarnessError: OUT_IN_USE where it holds something.
    """
    try:
        found = sorted(path.name for path in out.iterdir())
    except OSError:  # it is not there, or no folder: whoever makes it says so
        return
    if found:
        more = ", …" if len(found) > 3 else ""  # noqa: PLR2004 - enough to know it by
        raise HarnessError(
            Exit.OUT_IN_USE,
            f"{out} holds other files ({', '.join(found[:3])}{more}); give a new or an empty folder as --out",
        )
