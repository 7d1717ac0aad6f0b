"""What a launcher hands to the node: one JSON file a job."""

from __future__ import annotations

from typing import Any, Literal

from matrix.cluster import Cluster
from matrix.plan import Arm, Job, in_canary
from matrix.protocol import of_canary
from matrix.schema import Value


class Run(Value):
    """One fresh server of one arm."""

    index: int
    arm: Arm


def canary_name(arm: Arm) -> str:
    """Name of a canary's folder and files."""
    return "canary" if arm == "head" else f"canary-{arm}"


def runs(job: Job) -> list[Run]:
    """The runs of a job, in order."""
    return [Run(index=index, arm=arm) for index, arm in enumerate(job.arms)]


REQUESTS = "requests.json"
"""In a job's folder: how many requests each point has, by its first run."""
SERVER_SOCKET = "server.sock"
"""In the folder that a run and its server's own container both see."""
SERVER_READY = "ready"
"""In the run's own folder: the server's container may start now."""
SERVER_ENDED = "server-ended"
"""There too, with the exit code of a container that has ended; the batch script writes it."""
STARTED = "started"
"""In a run's results, or in those of its server's own container: the first thing inside wrote it."""
UNKNOWN = "0" * 40
"""A commit that git could not tell."""


class Provenance(Value):
    """Which code and which recipes: what a record cannot find out on a node."""

    commit: str
    """40-hex commit of the harness."""
    clean: bool
    """Whether the harness's tree had no uncommitted change."""
    tree_commit: str
    """40-hex commit of the tree that recipes and kernels came from."""
    tree_clean: bool
    harness: str
    """Version of servematrix."""


class Found(Value):
    """What only the outside of a container can tell."""

    allocation: str = ""
    began_s: float = 0.0
    """When the job began, on the node's monotonic clock; 0 where nobody ends it."""
    visible: dict[str, str] = {}
    """Variables with the devices that the scheduler gave."""
    node: dict[str, Any] = {}
    """Fields of a record's node: GPU model, serials, driver, clock, power cap, the cluster's name of it, container runtime."""
    images: dict[str, dict[str, Any]] = {}
    """Image -> sha256 and bytes of the imported file."""


class NodeJob(Value):
    """A job on a node."""

    schema_version: Literal[1] = 1
    job: Job
    cluster: Cluster
    runs: list[Run]
    allocation: str
    """Names the allocation: runs are compared only within one."""
    out: str
    """The job's folder, where results go."""
    run_folder: str = ""
    """The run's own folder, where a container has it mounted by itself; empty means: below `out`."""
    serve_in: str = ""
    """A folder that the server's own container sees too, in which it is asked to serve; empty: the run starts its server itself."""
    tree: str
    """The tree's root, for a model that it carries."""
    base_tree: str = ""
    """The same of the base arm, where runs of both arms are in this file."""
    base_commit: str = ""
    """Of that tree; empty where both arms are of one."""
    program: list[str]
    """The command that serves, and that loads."""
    base_program: list[str] = []
    """The same of the base arm."""
    python: str
    """The Python that has it."""
    environment: Literal["locked", "given", "image"]
    """Where that program came from; results of a given one are never reused."""
    provenance: Provenance
    runs_in_all: int = 0
    """Of the allocation, where each run is a container start of its own; 0 means: as many as `runs`."""
    paired: bool = False
    """Of a job that measures a base beside its head; known also where the file is of one arm and names no base."""
    canary: bool = False
    """An unrecorded start that finds out whether the job can work, and fills its arm's compile caches."""
    caches: str = ""
    """A folder with compile caches, one folder an arm: a canary leaves them there, a run gets a copy. Empty means none."""
    found: Found = Found()
    """What was found outside the container."""
    samples: str = ""
    """The file that the host's meter writes, where the node's programs see it; empty: nothing measures power."""
    profile: Literal["", "decode", "prefill"] = ""
    """Profile some steps of each point's load instead of measuring it."""
    evaluator: str = ""
    """The Python that has lm-eval, where a recipe asks for a task; empty: none is here."""

    def of(self, arm: Arm) -> NodeJob:
        """What a run of one arm needs to know: its own points, tree and program."""
        update: dict[str, Any] = {
            "job": self.job.of(arm),
            "paired": self.paired or self.job.base is not None,
        }
        if self.job.base is not None and arm == "base":
            update |= {"tree": self.base_tree or self.tree, "program": self.base_program or self.program}
            if self.base_commit:
                known = {"tree_commit": self.base_commit, "tree_clean": True}
                update["provenance"] = self.provenance.model_copy(update=known)
        return self.model_copy(update=update)

    def as_canary(self, out: str, arm: Arm = "head") -> NodeJob:
        """An arm's server with short loads, in a folder that nobody reads."""
        one = self.of(arm)
        short = [
            one.job.points[number].model_copy(update={"protocol": of_canary(one.job.points[number].protocol)})
            for number in in_canary(one.job.points, paired=self.job.base is not None)
        ]
        update = {
            "job": one.job.model_copy(update={"points": short}),
            "runs": [Run(index=0, arm=arm)],
            "out": out,
            "run_folder": "",
            "canary": True,
        }
        return one.model_copy(update=update)

    def as_profile(self, phase: str) -> NodeJob:
        """The same with a short load of each point, of which some steps are profiled; unchanged for no phase."""
        if not phase:
            return self
        short = [one.model_copy(update={"protocol": of_canary(one.protocol)}) for one in self.job.points]
        return self.model_copy(
            update={"profile": phase, "job": self.job.model_copy(update={"points": short})}
        )

    def with_found(self, content: dict[str, Any]) -> NodeJob:
        """The job with what the host's preflight and import wrote down."""
        found = Found.model_validate(content)
        return self.model_copy(update={"found": found, "allocation": found.allocation or self.allocation})
