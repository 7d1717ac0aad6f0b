"""Times of jobs: stated, or from records; jobs split to fit; a budget that holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix import cluster as clusters
from matrix import estimate, key, protocol, select
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan, in_canary
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT, Cli
from utils.pipeline.durations import history


def shipped(recipe: str, runs: int = 1, known: estimate.History | None = None, limit: int = 28800) -> Plan:
    source = Folder(ROOT)
    plan = select.chosen(Tree.of(source), [recipe], runs=runs)
    cluster = clusters.load(source, plan.jobs[0].cluster)
    cluster = cluster.model_copy(update={"limits": cluster.limits.model_copy(update={"walltime_s": limit})})
    return estimate.timed(plan, {plan.jobs[0].cluster: cluster}, known or estimate.History(), canary=True)


def test_the_stated_defaults_are_near_what_is_published() -> None:
    """The load alone at 10 x concurrency took 100 s at c1, 690 to 750 s for 1k1k c256, 2090 to 2210 s for 8k1k c256 (facts: published rates)."""
    points = {
        point.id.split("/")[1]: point
        for job in shipped("minimaxm3-fp8-mi300x-vllm").jobs
        for point in job.points
    }
    limits = clusters.load(Folder(ROOT), "mi300x-amd").limits
    for name, published in {"1k1k-tp8-ep8-c256": 720, "8k1k-tp8-ep8-c256": 2150}.items():
        point = points[name]
        warm_up = point.protocol.warmup_requests_per_concurrency / point.protocol.requests_per_concurrency
        seconds = protocol.point_seconds(point.protocol, point.concurrency, point.isl + point.osl, limits)
        assert 0.8 * published * (1 + warm_up) < seconds < 1.5 * published * (1 + warm_up)


def test_a_job_is_split_where_it_would_be_too_long() -> None:
    """All points are there, in order, each once; every job fits; fewer do not."""
    whole = shipped("minimaxm3-fp8-mi300x-vllm", runs=1)
    assert len(whole.jobs) == 5
    split = shipped("minimaxm3-fp8-mi300x-vllm", runs=2, limit=15000)
    assert len(split.jobs) > 5
    assert max(job.walltime_s for job in split.jobs) <= 15000
    assert [point.id for job in split.jobs for point in job.points] == [
        point.id for job in whole.jobs for point in job.points
    ]
    names = [job.id for job in split.jobs]
    assert len(set(names)) == len(names)
    assert any(name.endswith(".1of2") for name in names)
    assert split.server_starts == 2 * len(split.jobs)


def test_a_job_that_fits_is_not_split_for_a_shorter_one_that_does_not() -> None:
    """A canary loads the point with the fewest tokens, so a long first point alone can take longer than all of them."""
    plan = select.chosen(Tree.of(Folder(ROOT)), ["minimaxm3-fp8-mi300x-vllm/1k1k-tp8-c[12]"])
    small, large = plan.jobs[0].points
    job = plan.jobs[0].model_copy(update={"points": [large, small]})
    known = estimate.History(points={large.key: 9000.0, small.key: 10.0})
    cluster = clusters.load(Folder(ROOT), job.cluster)
    limits = cluster.limits.model_copy(update={"walltime_s": 14000})
    found = {job.cluster: cluster.model_copy(update={"limits": limits})}
    (one,) = estimate.timed(plan.model_copy(update={"jobs": [job]}), found, known, canary=True).jobs
    assert one.points == [
        large.model_copy(update={"estimate_s": 9000}),
        small.model_copy(update={"estimate_s": 10}),
    ]
    assert one.walltime_s <= 14000


def test_a_point_that_is_too_long_alone_is_refused() -> None:
    """With what to change."""
    with pytest.raises(HarnessError, match=r"alone may take .* fewer --runs") as caught:
        shipped("minimaxm3-fp8-mi300x-vllm", runs=4, limit=10800)
    assert caught.value.exit_code is Exit.OVER_BUDGET


def test_records_know_better_than_the_cluster_file(tmp_path: Path) -> None:
    """The longest start and the longest measurement count; what cannot be read is passed over."""
    job = shipped("minimaxm3-fp8-mi300x-vllm").jobs[0]
    point = job.points[0]
    for number, seconds in enumerate((100.0, 150.0)):
        phases = [{"name": "preflight", "duration_s": 9.0}, {"name": "server", "duration_s": 300.0 + number}]
        phases += [{"name": "first completion", "duration_s": 1.0}, {"name": "load", "duration_s": seconds}]
        folder = tmp_path / str(number)
        folder.mkdir()
        content = {"status": "measured", "key": point.key, "parts": point.parts, "phases": phases}
        (folder / "record.json").write_text(json.dumps(content))
    (tmp_path / "2").mkdir()
    (tmp_path / "2/record.json").write_text("[]")
    known = history([tmp_path])
    assert known.points == {point.key: 150.0}
    assert known.starts == {key.server(point.parts): 302.0}
    timed = shipped("minimaxm3-fp8-mi300x-vllm", known=known).jobs[0]
    assert timed.points[0].estimate_s == 150
    assert timed.points[1].estimate_s == job.points[1].estimate_s
    assert timed.walltime_s < job.walltime_s


def test_a_pairs_canary_loads_each_concurrency_once() -> None:
    """The smallest point of each, the one with the fewest tokens first; and the time that is asked for has room for it."""
    jobs = [shipped(name).jobs[0] for name in ("minimaxm3-layers-h100", "qwen3moe-tiny-cpu-vllm")]
    for job in jobs:
        paired = [job.points[i] for i in in_canary(job.points, paired=True)]
        assert [one.concurrency for one in paired] == sorted({one.concurrency for one in job.points})
        assert {one.isl for one in paired} == {min(one.isl for one in job.points)}
        assert [job.points[i] for i in in_canary(job.points, paired=False)] == paired[:1]


def test_a_budget_is_held_with_the_sum_shown(cli: Cli) -> None:
    """By `plan` and by `run`, before anything is submitted."""
    for command in ("plan", "run"):
        done = cli(command, "minimaxm3-fp8-mi300x-vllm", "--budget", "2")
        assert done.returncode == Exit.OVER_BUDGET
        assert "node-hours are more than the budget of 2" in done.stderr
        assert done.stderr.count("(points: ") == 5
    assert cli("plan", "minimaxm3-fp8-mi300x-vllm", "--budget", "200").returncode == 0
    assert cli("plan", "--budget", "nan").returncode == Exit.USAGE
    assert "node-hours" in cli("plan", "minimaxm3-fp8-mi300x-vllm").stdout
