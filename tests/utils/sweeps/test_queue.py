"""Which sweep comes first on a cluster, and how the others wait."""

from __future__ import annotations

import json

import pytest

from matrix.plan import Plan
from tests.github.acting import workflow
from tests.github.state import Fault
from tests.utils.conftest import GitHub
from tests.utils.sweeps.made import swept
from utils.github import pulls
from utils.sweeps import queue

QUEUE = (("older", "mi300x"), ("elsewhere", "h100"), ("mine", "mi300x"), ("younger", "mi300x"))


@pytest.fixture
def queued(github: GitHub) -> dict[str, int]:
    """Four sweeps at work, each with its plan."""
    runs = {}
    for number, (name, cluster) in enumerate(QUEUE):
        runs[name] = github.state.sweep(50 + number, str(number) * 40, "in_progress")
        github.state.artifact(runs[name], {"plan.json": swept(cluster)}, name=queue.PLAN)
    return runs


def test_one_sweep_a_cluster_at_a_time(github: GitHub, queued: dict[str, int]) -> None:
    """Older ones that share a cluster come first; one that is not planned yet may; younger ones and other clusters do not matter."""
    ahead = queue.Queue(github.api).ahead
    mine = queued["mine"]
    assert ahead(mine, {"mi300x"}) == queue.Ahead(1, 5.3)
    assert ahead(mine, {"mi300x", "h100"}) == queue.Ahead(2, 10.6)
    assert ahead(mine, {"mi355x"}) == queue.Ahead(0, 0.0)
    assert ahead(mine) == queue.Ahead(2, 10.6), "who has no plan yet waits for all"
    assert ahead(mine, {"mi300x"}, over=queued["older"]) == queue.Ahead(0, 0.0)
    github.state.artifacts[queued["elsewhere"]].clear()
    unplanned = queue.Queue(github.api).ahead(mine, {"mi300x"})
    assert unplanned == queue.Ahead(2, 5.3, 1)
    assert str(unplanned) == "2 sweeps are ahead of it, at most 5.3 h, 1 not planned yet"
    assert str(queue.Ahead(1, 0.0, 1)) == "a sweep is ahead of it, 1 not planned yet", (
        "nobody knows for how long"
    )
    github.state.artifact(queued["elsewhere"], b"no archive", name=queue.PLAN)
    assert queue.Queue(github.api).ahead(mine, {"mi300x"}) == queue.Ahead(2, 5.3, 1)


def test_a_sweep_waits_for_its_turn(github: GitHub, queued: dict[str, int]) -> None:
    """Each change is told; an answer that GitHub refuses ends no wait."""
    github.state.faults.append(Fault("GET", "/sweep.yml/runs", 403))
    told: list[str] = []

    def sleep(_: float) -> None:
        if len(told) > 1:
            next(one for one in github.state.runs if one["id"] == queued["older"])["status"] = "completed"

    plan = Plan.from_json(json.loads(swept("mi300x")))
    queue.wait(github.api, queued["mine"], plan, told.append, sleep=sleep)
    assert told[0].startswith("what is ahead of it is not known: GitHub says 403")
    assert told[1:] == ["a sweep is ahead of it, at most 5.3 h"]


def test_nobody_waits_longer_than_a_job_may_take(
    github: GitHub, queued: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub ends a job after six hours; the cluster's own lock goes on."""
    assert queue.LONGEST_S < workflow("sweep.yml")["jobs"]["queue"]["timeout-minutes"] * 60 < 6 * 3600
    monkeypatch.setattr(queue, "LONGEST_S", 600.0)
    told: list[str] = []
    slept: list[float] = []
    plan = Plan.from_json(json.loads(swept("mi300x")))
    queue.wait(github.api, queued["mine"], plan, told.append, sleep=slept.append, clock=lambda: sum(slept))
    assert sum(slept) == 600.0
    assert told[-1] == "goes on to the cluster, and waits there"


def test_those_that_wait_are_told_that_one_is_over(github: GitHub, queued: dict[str, int]) -> None:
    """On their commits; those before it, and on other clusters, wait for what they waited for."""
    for number, state in enumerate(("pending", "pending", "pending", "success")):
        sha = str(number) * 40
        pulls.status(github.api, sha, queue.CONTEXT, state, description="before", url="https://e.org/x")
    queue.tell_waiting(github.api, queued["older"])
    words = {sha: [one["description"] for one in known][1:] for sha, known in github.state.statuses.items()}
    assert words == {
        "0" * 40: [],
        "1" * 40: ["nothing is ahead of it"],
        "2" * 40: ["nothing is ahead of it"],
        "3" * 40: [],
    }, "one that has told its end keeps it"
